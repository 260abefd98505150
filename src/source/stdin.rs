//! A stream as one file: standard input or the output of a command. It is read once and only forward, and its length
//! is known at its end.

use super::command::{CommandLine, Ender, Said};
use super::fs::meta::{Owners, made_up_directory};
use super::{Description, Fingerprint, FoundEntry, Handle, Source, SourceFile, Walked};
use crate::base::path::{PathError, ancestor_keys, components, key_of, path_of};
use crate::base::time::Time;
use crate::format::tree::{EntryKind, Meta, Xattr};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What a stream is read from. It gives an error, not an end, when what it gave is known not to be whole.
type Input = Box<dyn Read + Send>;

/// Begins the stream. Whoever drops the second part while the stream has not ended ends its producer.
type Begin = Box<dyn FnOnce() -> io::Result<(Input, Option<Ender>)> + Send>;

/// A stream as a source: one file, and the directories on the way to it.
pub struct StreamSource {
    path: Vec<u8>,
    start: Time,
    begin: Mutex<Option<Begin>>,
    cancel: Arc<AtomicBool>,
    /// What is said of a stream without a byte, where that is an error.
    empty: Option<&'static str>,
}

impl StreamSource {
    /// Standard input as the file of this absolute path. Reading ends with an error soon after `cancel` is set, also
    /// while nothing comes. A pipe does not tell whether who writes into it ended well: that nothing came at all is the
    /// only sign there is, and an error unless `allow_empty`.
    pub fn stdin(path: &[u8], cancel: Arc<AtomicBool>, allow_empty: bool) -> Result<StreamSource, PathError> {
        let empty = (!allow_empty).then_some("standard input is empty; if that is right, give --allow-empty");
        let source = StreamSource::new(path, Box::new(io::stdin()))?;
        Ok(StreamSource { cancel, empty, ..source })
    }

    /// What a command prints as the file of this absolute path. The command is started when the file is opened. Reading
    /// ends with an error when it fails or is ended by a signal. `said` is told each line of its standard error.
    pub fn command(
        path: &[u8],
        command: CommandLine,
        said: Said,
        cancel: Arc<AtomicBool>,
        allow_empty: bool,
    ) -> Result<StreamSource, PathError> {
        let empty = (!allow_empty)
            .then_some("the command ended well and printed nothing; if that is right, give --allow-empty");
        let begin: Begin = Box::new(move || {
            let (output, ender) = command.start(said)?;
            Ok((Box::new(output) as Input, Some(ender)))
        });
        let source = StreamSource::new(path, Box::new(io::empty()))?;
        Ok(StreamSource { begin: Mutex::new(Some(begin)), cancel, empty, ..source })
    }

    /// Any reader as the file of this absolute path.
    pub fn new(path: &[u8], input: Input) -> Result<StreamSource, PathError> {
        if components(path)?.is_empty() {
            return Err(PathError::Component);
        }
        let path = path_of(&key_of(path)?);
        let begin: Begin = Box::new(move || Ok((input, None)));
        Ok(StreamSource {
            path,
            start: Time::now(),
            begin: Mutex::new(Some(begin)),
            cancel: Arc::default(),
            empty: None,
        })
    }

    /// A file of the user who runs this, changed when the run began.
    fn meta(&self, kind: EntryKind, owners: &mut Owners) -> Meta {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let mode = if kind == EntryKind::File { 0o600 } else { 0o755 };
        let time = self.start;
        let mut meta = Meta { kind, mode, uid: user, gid: group, mtime: time, ctime: time, ..made_up_directory() };
        owners.name(&mut meta);
        meta
    }
}

impl Source for StreamSource {
    fn describe(&self) -> Description {
        Description { paths: vec![self.path.clone()], reopens: false, stable_identity: false }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let key = key_of(&self.path).map_err(io::Error::other)?;
        let mut owners = Owners::default();
        for above in ancestor_keys(&key) {
            let meta = self.meta(EntryKind::Directory, &mut owners);
            if !emit(Walked::Entry(FoundEntry::new(above, meta, Handle::KEY))) {
                return Ok(());
            }
        }
        let meta = self.meta(EntryKind::File, &mut owners);
        emit(Walked::Entry(FoundEntry { streaming: true, ..FoundEntry::new(key, meta, Handle::KEY) }));
        Ok(())
    }

    fn open(&self, _found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        let begin = self.begin.lock().take();
        let begin = begin.ok_or_else(|| io::Error::other("a stream can be read only once"))?;
        let (input, ender) = begin()?;
        let input = Cancellable::new(input, self.cancel.clone());
        let progress = Progress { input, offset: 0, empty: self.empty };
        Ok(Box::new(StreamFile { progress: Mutex::new(progress), _ender: ender }))
    }

    fn xattrs(&self, _found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }
}

/// Reads on a thread of its own: a read that waits for a silent producer cannot be called back, but it can be left.
struct Cancellable {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    /// The end came.
    ended: bool,
    /// Any of them ends the reading.
    cancel: Vec<Arc<AtomicBool>>,
}

/// Bytes handed over at once.
const PIECE: usize = 256 << 10;

impl Cancellable {
    fn new(mut input: Input, cancel: Arc<AtomicBool>) -> Cancellable {
        let (output, pieces) = bounded(2);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = match input.read(&mut piece) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let end = matches!(read, Ok(0) | Err(_));
                let sent = output.send(read.map(|len| {
                    piece.truncate(len);
                    piece
                }));
                if end || sent.is_err() {
                    return;
                }
            }
        });
        Cancellable { pieces, piece: Vec::new(), at: 0, ended: false, cancel: vec![cancel] }
    }
}

impl Read for Cancellable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            if self.cancel.iter().any(|cancel| cancel.load(Relaxed)) {
                return Err(io::Error::other("interrupted"));
            }
            match self.pieces.recv_timeout(Duration::from_millis(100)) {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                Err(RecvTimeoutError::Timeout) => continue,
                // It ended without saying so, or said before that it failed: either is no end of the stream.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads the stream is gone"));
                }
            }
            self.ended = self.piece.is_empty();
        }
        let len = buf.len().min(self.piece.len() - self.at);
        buf[..len].copy_from_slice(&self.piece[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

struct StreamFile {
    progress: Mutex<Progress>,
    _ender: Option<Ender>,
}

struct Progress {
    input: Cancellable,
    /// Bytes read so far.
    offset: u64,
    /// See [`StreamSource::empty`].
    empty: Option<&'static str>,
}

impl SourceFile for StreamFile {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(None)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut progress = self.progress.lock();
        if offset != progress.offset {
            return Err(io::Error::other("a stream is read in order, once"));
        }
        let mut done = 0;
        while done < buf.len() {
            match progress.input.read(&mut buf[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let (0, 0, Some(empty)) = (done, progress.offset, progress.empty) {
            return Err(io::Error::other(empty));
        }
        progress.offset += done as u64;
        Ok(done)
    }

    fn give_up_when(&self, flag: Arc<AtomicBool>) {
        self.progress.lock().input.cancel.push(flag);
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        Ok((offset < size).then_some((offset, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::check_key;

    /// Gives its bytes a few at a time, with interruptions.
    struct Dribble(Vec<u8>, bool);

    impl Read for Dribble {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let n = self.0.len().min(3).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    fn walked(source: &StreamSource) -> Vec<FoundEntry> {
        let mut all = Vec::new();
        source
            .walk(&mut |walked| {
                if let Walked::Entry(found) = walked {
                    all.push(found);
                }
                true
            })
            .unwrap();
        all
    }

    #[test]
    fn a_stream_is_one_file_below_the_directories_of_its_path() {
        let source = StreamSource::new(b"/dump/db/all.sql", Box::new(io::empty())).unwrap();
        let all = walked(&source);
        let paths: Vec<_> = all.iter().map(|found| path_of(&found.key)).collect();
        assert_eq!(paths, [&b"/"[..], b"/dump", b"/dump/db", b"/dump/db/all.sql"]);
        assert!(all.is_sorted_by(|a, b| a.key < b.key) && all.iter().all(|found| check_key(&found.key).is_ok()));
        assert_eq!(all.iter().filter(|found| found.streaming).count(), 1);
        assert!(all[3].streaming && all[3].meta.kind == EntryKind::File);
        assert!(StreamSource::new(b"/", Box::new(io::empty())).is_err());
        assert!(StreamSource::new(b"/a/../b", Box::new(io::empty())).is_err());
    }

    #[test]
    fn reads_are_full_until_the_end_and_only_in_order() {
        let bytes: Vec<u8> = (0..50).collect();
        let source = StreamSource::new(b"/in", Box::new(Dribble(bytes.clone(), false))).unwrap();
        let found = walked(&source).pop().unwrap();
        let file = source.open(&found).unwrap();
        let mut buf = [0; 32];
        assert_eq!(file.read_at(0, &mut buf).unwrap(), 32);
        assert_eq!(buf, bytes[..32]);
        assert!(file.read_at(0, &mut buf).is_err());
        assert_eq!(file.read_at(32, &mut buf).unwrap(), 18);
        assert_eq!(buf[..18], bytes[32..]);
        assert_eq!(file.read_at(50, &mut buf).unwrap(), 0);
        assert_eq!(file.fingerprint().unwrap(), None);
        assert!(source.open(&found).is_err(), "there is no second time");
    }

    #[test]
    fn a_stream_that_fails_or_gives_nothing_has_no_end() {
        struct Fails(bool);
        impl Read for Fails {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) { Err(io::Error::other("torn")) } else { Ok(buf.len().min(5)) }
            }
        }
        struct Panics;
        impl Read for Panics {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("a reader that panics")
            }
        }
        let open = |source: StreamSource| source.open(&walked(&source).pop().unwrap()).unwrap();
        let torn = open(StreamSource::new(b"/in", Box::new(Fails(false))).unwrap());
        assert!(torn.read_at(0, &mut [0; 100]).is_err());
        assert!(torn.read_at(0, &mut [0; 100]).is_err(), "nor later");
        let gone = open(StreamSource::new(b"/in", Box::new(Panics)).unwrap());
        assert!(gone.read_at(0, &mut [0; 100]).is_err());
        let source = |empty| StreamSource { empty, ..StreamSource::new(b"/in", Box::new(io::empty())).unwrap() };
        assert!(open(source(Some("nothing"))).read_at(0, &mut [0; 100]).is_err());
        assert_eq!(open(source(None)).read_at(0, &mut [0; 100]).unwrap(), 0);
    }

    #[test]
    fn a_run_that_failed_leaves_a_silent_producer() {
        let (reader, writer) = std::io::pipe().unwrap();
        let source = StreamSource::new(b"/in", Box::new(reader)).unwrap();
        let file = source.open(&walked(&source).pop().unwrap()).unwrap();
        file.give_up_when(Arc::new(AtomicBool::new(true)));
        assert!(file.read_at(0, &mut [0; 100]).is_err());
        drop(writer);
    }
}
