//! How long each phase of a check takes, and how long each part of reading packs takes, summed over all threads.

use crate::monitor::Monitor;
use crate::work::meter::Meter;

/// A meter a phase, and one for each part of the reading of packs. Nothing waits for another: only busy time is counted.
pub(super) struct Meters {
    /// Small objects; items: sessions and snapshots.
    pub records: Meter,
    /// The fresh index; items: segments.
    pub index: Meter,
    /// Packs: their tables of contents, an item a pack.
    pub tables: Meter,
    /// Packs: what the index says of them, an item a pack.
    pub compare: Meter,
    pub read: Meter,
    /// Packs: what was read, hashed to their names.
    pub names: Meter,
    /// Packs: blobs decrypted and decompressed.
    pub open: Meter,
    /// Packs: the ids of what blobs hold, an item a blob.
    pub ids: Meter,
    /// Trees; items: nodes and lists.
    pub trees: Meter,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            records: Meter::new("records"),
            index: Meter::new("index"),
            tables: Meter::new("packs: tables"),
            compare: Meter::new("packs: compare"),
            read: Meter::new("packs: read"),
            names: Meter::new("packs: names"),
            open: Meter::new("packs: open"),
            ids: Meter::new("packs: ids"),
            trees: Meter::new("trees"),
        }
    }
}

impl Meters {
    /// Tells what was done, in the order of the work.
    pub fn report(&self, monitor: &dyn Monitor) {
        let Meters { records, index, tables, compare, read, names, open, ids, trees } = self;
        let all = [records, index, tables, compare, read, names, open, ids, trees];
        all.into_iter().filter(|meter| meter.times().items > 0).for_each(|meter| meter.report(monitor));
    }
}
