//! Big files through memory maps, copied out under a guard against truncation.
//!
//! A mapped file that is cut short, or whose disk fails, ends the process by SIGBUS when a page that is gone is touched.
//! So each mapped window is registered in a fixed table before it is touched. The handler, installed once, puts a page of
//! zeros over a fault inside a registered window and marks the window; what was copied from it is then thrown away and
//! read again by pread, which tells a file that was cut from a disk that fails. For any other fault the handler that was
//! there before is called.
//!
//! All of this module's state is in atomics, and the handler does nothing but look at them and call mmap.

use memmap2::{Advice, Mmap, MmapOptions};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst, compiler_fence};

/// Bytes mapped at once.
pub const WINDOW_BYTES: usize = 8 << 20;
/// Windows registered at a time.
const WINDOWS_MAX: usize = 1024;

/// One registered window.
struct Slot {
    taken: AtomicBool,
    /// Odd while the range changes, so that the handler never sees half of one and half of another.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    /// A fault was covered.
    faulted: AtomicBool,
}

static TABLE: [Slot; WINDOWS_MAX] = [const {
    Slot {
        taken: AtomicBool::new(false),
        version: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        faulted: AtomicBool::new(false),
    }
}; WINDOWS_MAX];

/// A page whose memory broke was touched.
const BUS_MCEERR_AR: c_int = 4;

/// Where the search for a free slot begins, so that threads do not meet in one.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);
/// What was there before our handler.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

impl Slot {
    fn set(&self, start: usize, end: usize) {
        self.version.fetch_add(1, SeqCst);
        self.start.store(start, SeqCst);
        self.end.store(end, SeqCst);
        self.version.fetch_add(1, SeqCst);
    }

    /// Whether an address lies in the registered range.
    fn holds(&self, address: usize) -> bool {
        let version = self.version.load(SeqCst);
        let (start, end) = (self.start.load(SeqCst), self.end.load(SeqCst));
        version.is_multiple_of(2) && start <= address && address < end && version == self.version.load(SeqCst)
    }
}

/// A registered window; as long as it lives, faults in it are covered. It must not outlive the mapping it stands for.
struct Watch(&'static Slot);

impl Watch {
    /// Registers a range of addresses. `None` when faults cannot be covered: there are too many windows, or the handler
    /// is not ours (any more).
    fn over(start: usize, len: usize) -> Option<Watch> {
        if !handler_is_ours() {
            return None;
        }
        let end = start.checked_add(len)?;
        let first = NEXT.fetch_add(1, SeqCst);
        let slot = (0..WINDOWS_MAX)
            .map(|n| &TABLE[first.wrapping_add(n) % WINDOWS_MAX])
            .find(|slot| !slot.taken.swap(true, SeqCst))?;
        slot.faulted.store(false, SeqCst);
        slot.set(start, end);
        Some(Watch(slot))
    }

    /// Whether a fault was covered.
    fn faulted(&self) -> bool {
        self.0.faulted.load(SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.set(0, 0);
        self.0.taken.store(false, SeqCst);
    }
}

/// Installs the handler at the first call. Whether it is (still) the one that is called.
fn handler_is_ours() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    if !*INSTALLED.get_or_init(install) {
        return false;
    }
    current().is_some_and(|action| action.sa_sigaction == handle as *const () as usize)
}

fn current() -> Option<libc::sigaction> {
    // SAFETY: all zeros is a valid sigaction, and sigaction(2) writes to the one it is given and nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(libc::SIGBUS, std::ptr::null(), &mut action) == 0).then_some(action)
    }
}

fn install() -> bool {
    PAGE_BYTES.store(rustix::param::page_size(), SeqCst);
    let Some(before) = current() else { return false };
    // Known to the handler before it can be called.
    if BEFORE.set(before).is_err() {
        return false;
    }
    // SAFETY: the action is whole: a handler of the three-argument kind with the flag that says so, an empty mask. The
    // handler only uses what is safe in a handler. SA_ONSTACK: the runtime's own handler, which is called for foreign
    // faults, needs its stack for stack overflows. SA_NODEFER is not set: a fault in the handler ends the process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) == 0
    }
}

/// Covers a fault in a registered window; else gives the signal to who had it before.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the system gives a valid siginfo, whose union holds an address where one is asked for below.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // Only what the interrupted instruction itself ran into: then the window cannot go away meanwhile.
    if matches!(code, libc::BUS_ADRERR | libc::BUS_OBJERR | BUS_MCEERR_AR)
        && TABLE.iter().filter(|slot| slot.holds(address)).any(|slot| cover(slot, address))
    {
        return;
    }
    // SAFETY: called in the handler of this signal with what the system gave it.
    unsafe { pass_on(signal, code, info, context) }
}

/// Puts a page of zeros over an address of a registered window.
fn cover(slot: &Slot, address: usize) -> bool {
    let page = PAGE_BYTES.load(SeqCst);
    // SAFETY: the page lies in a mapping whose owner registered it and reads it only by copying and only believes the
    // copy when no fault was marked, so that other bytes may take its place. It stays registered until after this
    // returns: the thread that faulted holds it. The error number of the interrupted code is put back.
    unsafe {
        let number = libc::__errno_location();
        let before = *number;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let at = (address & !(page - 1)) as *mut c_void;
        let covered = libc::mmap(at, page, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED;
        *number = before;
        if covered {
            slot.faulted.store(true, SeqCst);
        }
        covered
    }
}

/// Does what would have happened without our handler.
///
/// # Safety
///
/// Only in the handler of `signal`, with the arguments it was given.
unsafe fn pass_on(signal: c_int, code: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.get();
    let action = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
    let sent = code <= 0;
    match action {
        libc::SIG_IGN if sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: back to the default action; a fault happens again when this returns and then ends the process,
            // a signal that was sent is sent again.
            unsafe {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &default, std::ptr::null_mut());
                if sent {
                    libc::raise(signal);
                }
            }
        }
        handler if before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0) => {
            // SAFETY: the flag says that it takes three arguments; these are the ones that it would have been given.
            unsafe {
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        handler => {
            // SAFETY: without the flag it takes the signal's number.
            unsafe {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// Copies `buf.len()` bytes, at most [`WINDOW_BYTES`], at `offset` of a file into `buf` through a map. False when that
/// cannot be done or a page was gone: then `buf` holds rubbish, and pread can tell what is the matter.
///
/// Bytes behind the file's end but in its last page read as zeros: the caller compares the length before and after.
#[must_use]
pub fn copy(file: BorrowedFd<'_>, offset: u64, buf: &mut [u8]) -> bool {
    let map = MmapOptions::new().offset(offset).len(buf.len()).populate().map_raw_read_only(file.as_raw_fd());
    let Ok(map) = map else { return false };
    let Some(watch) = Watch::over(map.as_ptr() as usize, buf.len()) else { return false };
    compiler_fence(SeqCst);
    // SAFETY: the map has `buf.len()` readable bytes, where a page is gone the handler puts another; `buf` is ours alone.
    // The file may change meanwhile, so no reference to the mapped bytes is made: they are copied once, and everything
    // is done with the copy.
    unsafe { std::ptr::copy_nonoverlapping(map.as_ptr(), buf.as_mut_ptr(), buf.len()) };
    compiler_fence(SeqCst);
    let whole = !watch.faulted();
    drop(watch);
    whole
}

/// A read-only map of a whole file that nobody changes, under the guard: where a page cannot be read it holds zeros, and
/// [`GuardedMap::faulted`] tells. For files whose pages carry checksums, or whose use ends with asking.
pub struct GuardedMap {
    /// First, so that it goes before the mapping does. `None` when faults could not be covered.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code, reason = "it is there to be dropped"))]
    watch: Option<Watch>,
    map: Mmap,
}

impl GuardedMap {
    /// Maps a whole file.
    ///
    /// # Safety
    ///
    /// As `memmap2::Mmap::map`: nobody writes to the file or cuts it while it is mapped. The guard covers disks that
    /// fail.
    pub unsafe fn new(file: &File) -> io::Result<GuardedMap> {
        // SAFETY: what this function asks for.
        let map = unsafe { Mmap::map(file)? };
        let watch = Watch::over(map.as_ptr() as usize, map.len());
        Ok(GuardedMap { watch, map })
    }

    /// Asks the system to read a range ahead: a hint, which may fail.
    pub fn will_need(&self, start: usize, len: usize) {
        let _ = self.map.advise_range(Advice::WillNeed, start, len);
    }

    /// Whether a page could not be read: what was taken from the map so far may be zeros instead.
    #[cfg(any(test, feature = "internals"))]
    pub fn faulted(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::faulted)
    }
}

impl Deref for GuardedMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fs::{FsOptions, FsSource, ReadMode};
    use crate::source::{Source, SourceFile, Walked};
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    fn opened(path: &Path, read: ReadMode) -> Box<dyn SourceFile> {
        let source = FsSource::new(FsOptions { roots: vec![path.into()], read, ..FsOptions::default() }).unwrap();
        let mut found = None;
        source
            .walk(&mut |walked| {
                if let Walked::Entry(entry) = walked {
                    found = Some(entry);
                }
                true
            })
            .unwrap();
        source.open(&found.unwrap()).unwrap()
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect()
    }

    #[test]
    fn maps_and_pread_give_the_same_bytes_at_every_seam() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes = pattern(2 * WINDOW_BYTES + 4097);
        std::fs::write(&path, &bytes).unwrap();
        let (mapped, plain) = (opened(&path, ReadMode::Mmap), opened(&path, ReadMode::Pread));
        let mut a = vec![0; bytes.len() + 10_000];
        let mut b = a.clone();
        for (offset, len) in [
            (0, bytes.len() + 10_000),
            (1, WINDOW_BYTES),
            (4095, WINDOW_BYTES + 2),
            (WINDOW_BYTES as u64 * 2, 300_000),
            (WINDOW_BYTES as u64 + 47, 2 << 20),
            (bytes.len() as u64 - 1, 400_000),
            (bytes.len() as u64 + 5, 400_000),
        ] {
            let read = mapped.read_at(offset, &mut a[..len]).unwrap();
            assert_eq!(read, plain.read_at(offset, &mut b[..len]).unwrap(), "at {offset}");
            assert_eq!(read, len.min(bytes.len().saturating_sub(offset as usize)));
            assert!(a[..read] == b[..read], "at {offset}");
        }
    }

    #[test]
    fn a_page_that_is_gone_is_told_and_does_not_end_the_process() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&pattern(100_000), 0).unwrap();
        let mut buf = vec![0; 200_000];
        assert!(!copy(file.as_fd(), 0, &mut buf), "its second half was never there");
        assert!(buf[..100_000] == pattern(100_000)[..]);
        assert!(copy(file.as_fd(), 0, &mut buf[..100_000]), "the mark does not outlive its window");
        // SAFETY: what is cut here is not believed afterwards.
        let map = unsafe { GuardedMap::new(&file).unwrap() };
        assert!(map[99_999] == pattern(100_000)[99_999] && !map.faulted());
        file.set_len(5000).unwrap();
        assert!(map[4999] != 0 && !map.faulted());
        assert!(map[50_000] == 0 && map.faulted());
    }

    #[test]
    fn a_file_that_is_cut_and_grows_while_it_is_read_never_gives_bytes_it_never_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes = pattern(3 << 20);
        std::fs::write(&path, &bytes).unwrap();
        let file = opened(&path, ReadMode::Mmap);
        let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let end = AtomicBool::new(false);
        let (mut equal, mut short) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut cut = 12_345;
                while !end.load(SeqCst) {
                    cut = (cut * 31 + 7919) % bytes.len();
                    writer.set_len(cut as u64).unwrap();
                    std::thread::sleep(Duration::from_millis(cut as u64 % 7));
                    // Never a hole: zeros are never the file's.
                    writer.write_all_at(&bytes[cut..], cut as u64).unwrap();
                    std::thread::sleep(Duration::from_millis(cut as u64 % 11));
                }
            });
            let mut buf = vec![0; bytes.len()];
            for _ in 0..600 {
                let before = file.fingerprint().unwrap();
                let len = file.read_at(0, &mut buf).unwrap();
                let after = file.fingerprint().unwrap();
                if before == after {
                    assert_eq!(before.unwrap().size, len as u64);
                    assert!(buf[..len] == bytes[..len], "zeros of a page that was gone were taken for the file's");
                    equal += 1;
                    short += usize::from(len < bytes.len());
                }
            }
            end.store(true, SeqCst);
        });
        assert!(equal > 0 && short > 0, "{equal} reads of one state, {short} of them of a cut file");
    }

    #[test]
    fn many_threads_keep_their_windows_apart() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&pattern(1 << 20), 0).unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    let mut buf = vec![0; (1 << 20) + n * 100_000];
                    for _ in 0..100 {
                        assert_eq!(copy(file.as_fd(), 0, &mut buf), n == 0);
                    }
                });
            }
        });
    }

    /// What a child of the tests does and dies of.
    const CHILD: &str = "LARDER_TEST_SIGBUS";

    fn child_ends_by(what: &str) -> Option<i32> {
        let name = "source::mmap::tests::other_faults_and_signals_end_the_process_as_before";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--test-threads=1"]).env(CHILD, what);
        child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        child.status().unwrap().signal()
    }

    #[test]
    fn other_faults_and_signals_end_the_process_as_before() {
        let Ok(what) = std::env::var(CHILD) else {
            assert_eq!(child_ends_by("fault"), Some(libc::SIGBUS));
            assert_eq!(child_ends_by("sent"), Some(libc::SIGBUS));
            assert_eq!(child_ends_by("nothing"), None);
            return;
        };
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut buf = vec![0; 2 << 20];
        assert!(!copy(file.as_fd(), 0, &mut buf), "installs the handler and covers a fault");
        match what.as_str() {
            "fault" => {
                // SAFETY: the file is cut below, and reading it then is meant to end the process.
                let map = unsafe { Mmap::map(&file).unwrap() };
                file.set_len(0).unwrap();
                std::hint::black_box(map[5000]);
            }
            "sent" => {
                // SAFETY: a signal to this thread.
                let send = || assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
                // The runtime's handler, which was there before, takes the first one and puts the default action back.
                send();
                assert!(!copy(file.as_fd(), 0, &mut buf[..1 << 20]), "without the handler nothing is mapped");
                send();
            }
            _ => {}
        }
    }
}
