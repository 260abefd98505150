//! The roofline: what the kernels, measured alone, allow a whole run at most.
//!
//! Per byte of content, one core does `T_core = 1 / [t_read + s·t_cut + t_hash + (1−d)·(t_compress + ρ·(t_seal + t_pack)) +
//! t_chunk/S + t_file/F]`, with s the scanned share, d the share of duplicates, ρ = stored/new, S and F the mean chunk
//! and file. A restore has other terms, and a check's are t_fetch + t_open + t_decompress + t_hash (of packs to their names,
//! and of what is in them to its ids), with a look-up for each chunk. Here the same is written for a whole piece of work: each term is a cost a
//! unit, times the units that the work has. A run can be no faster than all cores doing these terms, than the busiest thread of those that keep the
//! order, and than storage taking what is stored.

/// What a term's cost counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the fields of Work")]
pub enum Per {
    Entry,
    File,
    ByteRead,
    ByteScanned,
    ByteBig,
    ByteHashed,
    Chunk,
    ByteNew,
    ByteSealed,
    ByteFetched,
    ByteOpened,
    ByteDecompressed,
    LookUp,
}

/// A piece of work, in the units of the terms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    pub entries: f64,
    pub files: f64,
    /// Bytes read from the source.
    pub read: f64,
    /// Bytes looked at for cuts.
    pub scanned: f64,
    /// Of these, in files that are cut in pieces: their cuts are selected in order.
    pub big: f64,
    /// Bytes hashed to ids.
    pub hashed: f64,
    /// Chunks looked up.
    pub chunks: f64,
    /// New bytes, compressed.
    pub new: f64,
    /// Bytes of blobs, sealed and put into packs.
    pub sealed: f64,
    /// Bytes read from storage.
    pub fetched: f64,
    /// Bytes of blobs opened.
    pub opened: f64,
    /// Bytes that come out of decompression.
    pub decompressed: f64,
    /// Chunks looked up that the index has.
    pub looked_up: f64,
}

impl Work {
    fn units(&self, per: Per) -> f64 {
        match per {
            Per::Entry => self.entries,
            Per::File => self.files,
            Per::ByteRead => self.read,
            Per::ByteScanned => self.scanned,
            Per::ByteBig => self.big,
            Per::ByteHashed => self.hashed,
            Per::Chunk => self.chunks,
            Per::ByteNew => self.new,
            Per::ByteSealed => self.sealed,
            Per::ByteFetched => self.fetched,
            Per::ByteOpened => self.opened,
            Per::ByteDecompressed => self.decompressed,
            Per::LookUp => self.looked_up,
        }
    }
}

/// The cost of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    pub name: &'static str,
    /// What it is counted in.
    pub per: Per,
    /// Nanoseconds of a core for one unit, the other cores idle.
    pub one: f64,
    /// Nanoseconds of wall time for one unit with all cores at it.
    pub all: f64,
    /// One thread does all of it, in order.
    pub ordered: bool,
}

/// The costs of a machine with some data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roofline {
    pub terms: Vec<Term>,
    /// Bytes a second that storage takes.
    pub sink: Option<f64>,
    /// Cores of this machine.
    pub cores: usize,
}

/// What the roofline allows a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// No run is faster.
    pub seconds: f64,
    /// What stands in the way.
    pub binds: String,
    /// Seconds of each term, in order.
    pub terms: Vec<(&'static str, f64)>,
}

impl Roofline {
    /// On one core: everything one after the other, but storage.
    pub fn one_core(&self, work: &Work) -> Bound {
        let terms: Vec<_> = self.terms.iter().map(|t| (t.name, t.one * work.units(t.per) / 1e9)).collect();
        self.bound(work, terms, Vec::new())
    }

    /// On all cores. What one thread does in order takes its core alone, while the others do something else.
    pub fn all_cores(&self, work: &Work) -> Bound {
        let cores = self.cores.max(1) as f64;
        let cost = |t: &Term| if t.ordered { t.one / cores } else { t.all };
        let terms: Vec<_> = self.terms.iter().map(|t| (t.name, cost(t) * work.units(t.per) / 1e9)).collect();
        let ordered = self.terms.iter().filter(|t| t.ordered);
        let ordered = ordered.map(|t| (t.name, t.one * work.units(t.per) / 1e9)).collect();
        self.bound(work, terms, ordered)
    }

    fn bound(&self, work: &Work, terms: Vec<(&'static str, f64)>, ordered: Vec<(&'static str, f64)>) -> Bound {
        let cpu: f64 = terms.iter().map(|(_, s)| s).sum();
        let longest = |terms: &[(&'static str, f64)]| terms.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut bound = (
            cpu,
            match longest(&terms) {
                Some((name, seconds)) if cpu > 0.0 => format!("CPU, {name} {:.0} % of it", 100.0 * seconds / cpu),
                _ => "nothing".into(),
            },
        );
        if let Some((name, seconds)) = longest(&ordered).filter(|(_, seconds)| *seconds > bound.0) {
            bound = (seconds, format!("one thread: {name}"));
        }
        if let Some(seconds) = self.sink.map(|sink| work.sealed / sink).filter(|seconds| *seconds > bound.0) {
            bound = (seconds, "storage".into());
        }
        Bound { seconds: bound.0, binds: bound.1, terms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terms of about the size that text gives: 0.14 read, 0.95 cut, 0.27 hash, 4.5 compress, 0.7 seal, 0.2 pack,
    /// 1,500 ns a chunk, 8,000 ns a file.
    fn sample() -> Roofline {
        let term = |name, per, one: f64, ordered| Term { name, per, one, all: one / 2.0, ordered };
        Roofline {
            terms: vec![
                term("file", Per::File, 8000.0, false),
                term("read", Per::ByteRead, 0.14, false),
                term("cut", Per::ByteScanned, 0.95, false),
                term("hash", Per::ByteHashed, 0.27, false),
                term("look-up", Per::Chunk, 1500.0, false),
                term("compress", Per::ByteNew, 4.5, false),
                term("seal", Per::ByteSealed, 0.7, false),
                term("pack", Per::ByteSealed, 0.2, true),
                term("fetch", Per::ByteFetched, 0.1, false),
                term("open", Per::ByteOpened, 0.7, false),
                term("decompress", Per::ByteDecompressed, 0.5, false),
                term("locate", Per::LookUp, 300.0, false),
            ],
            sink: Some(1.5e9),
            cores: 2,
        }
    }

    /// 10^9 bytes in files of 10^5 and chunks of 5·10^4; three quarters scanned, 40 % duplicates, half the size stored.
    fn work() -> Work {
        let bytes = 1e9;
        let new = 0.6 * bytes;
        Work {
            files: bytes / 1e5,
            read: bytes,
            scanned: 0.75 * bytes,
            hashed: bytes,
            chunks: bytes / 5e4,
            new,
            sealed: 0.5 * new,
            ..Work::default()
        }
    }

    #[test]
    fn one_core_is_the_formula() {
        let per_byte =
            0.14 + 0.75 * 0.95 + 0.27 + (1.0 - 0.4) * (4.5 + 0.5 * (0.7 + 0.2)) + 1500.0 / 5e4 + 8000.0 / 1e5;
        let bound = sample().one_core(&work());
        assert!((bound.seconds - per_byte).abs() < 1e-9, "{} {per_byte}", bound.seconds);
        // By hand: 0.14 + 0.7125 + 0.27 + 2.97 + 0.03 + 0.08.
        assert!((bound.seconds - 4.2025).abs() < 1e-9, "{}", bound.seconds);
        assert_eq!(bound.binds, "CPU, compress 64 % of it");
        assert_eq!(bound.terms[5], ("compress", 2.7));
    }

    #[test]
    fn a_check_reads_opens_decompresses_and_hashes_twice() {
        let (stored, plain) = (3e8, 6e8);
        let check = Work {
            fetched: stored,
            opened: stored,
            decompressed: plain,
            hashed: stored + plain,
            looked_up: 1e4,
            ..Work::default()
        };
        // By hand: 0.03 + 0.21 + 0.3 + 0.243 + 0.003.
        let bound = sample().one_core(&check);
        assert!((bound.seconds - 0.786).abs() < 1e-9, "{}", bound.seconds);
        assert_eq!(bound.binds, "CPU, decompress 38 % of it");
        // Without the data only what is small is read, and look-ups are most of it.
        let structure = Work { fetched: 1e6, opened: 1e6, looked_up: 1e5, ..Work::default() };
        assert_eq!(sample().all_cores(&structure).binds, "CPU, locate 97 % of it");
    }

    #[test]
    fn all_cores_share_what_can_be_shared() {
        // Everything halves, pack as well while another core works on.
        assert!((sample().all_cores(&work()).seconds - 4.2025 / 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_thread_that_keeps_the_order_and_storage_bind_when_they_are_slower() {
        let mut roofline = sample();
        roofline.terms[7].one = 20.0;
        // Pack alone 20 ns for 3·10^8 bytes: 6 s; the others (4.2025 − 0.06 + 6) / 2.
        let bound = roofline.all_cores(&work());
        assert_eq!((bound.seconds, bound.binds.as_str()), (6.0, "one thread: pack"));
        roofline.sink = Some(3e7);
        let bound = roofline.all_cores(&work());
        assert_eq!((bound.seconds, bound.binds.as_str()), (10.0, "storage"));
        assert_eq!(roofline.one_core(&work()).binds, "CPU, pack 59 % of it", "10.14 s of CPU");
    }

    #[test]
    fn no_work_takes_no_time() {
        let bound = sample().all_cores(&Work::default());
        assert_eq!((bound.seconds, bound.binds.as_str()), (0.0, "nothing"));
    }
}
