//! What was measured, as sections of a report.

use super::roofline::{Bound, Work};
use super::{Measured, Stages, path};
use crate::harness::report::{Better, Cell, Column, DataUsed, Plot, Row, Section, Unit};
use crate::harness::stats::measured;

/// The kernels that had a round, the roofline's terms and its bounds once all had one, and the CPU paths.
pub fn sections(stages: &Stages, data: &DataUsed) -> Vec<Section> {
    let mut sections = vec![kernels(stages)];
    if stages.is_whole() {
        sections.extend([bounds(stages), terms(stages)]);
    }
    sections.push(paths());
    sections.iter_mut().for_each(|section| section.data = Some(data.clone()));
    sections
}

fn text(words: impl Into<String>) -> Cell {
    Cell::Text(words.into())
}

/// A rate for each round.
fn rate(amount: u64, seconds: &[f64]) -> Cell {
    match amount {
        0 => Cell::Empty,
        _ => measured(&seconds.iter().map(|s| amount as f64 / s).collect::<Vec<_>>()),
    }
}

fn kernels(stages: &Stages) -> Section {
    let column = Column::new;
    let columns = vec![
        column("one_core", "one core", Unit::BytesPerSecond, Better::Higher),
        column("all_cores", "all cores", Unit::BytesPerSecond, Better::Higher),
        column("one_core_items", "one core, items", Unit::PerSecond, Better::Higher),
        column("all_cores_items", "all cores, items", Unit::PerSecond, Better::Higher),
        column("scaling", "scaling", Unit::Ratio, Better::Higher),
        column("ns_per_byte", "one core", Unit::NsPerByte, Better::Lower),
        column("bytes", "bytes", Unit::Bytes, Better::Neither),
        column("items", "items", Unit::Count, Better::Neither),
        column("cpu_path", "CPU path", Unit::Text, Better::Neither),
    ];
    // All kernels together cannot be faster than this line, however tall each bar alone.
    let work = stages.first_backup();
    let roof = |bound: Bound| Some(work.read / bound.seconds).filter(|rate| rate.is_finite() && stages.is_whole());
    let bars = |title: &str, column: &str, line| Plot::Bars {
        title: format!("{title}, and the roofline they add up to"),
        column: column.into(),
        limit: None,
        line,
    };
    Section {
        id: "kernels".into(),
        title: "Kernels alone".into(),
        columns,
        rows: stages.kernels.iter().filter(|kernel| kernel.is_measured()).map(kernel_row).collect(),
        plots: vec![
            bars("Kernels, one core", "one_core", roof(stages.roofline.one_core(&work))),
            bars("Kernels, all cores", "all_cores", roof(stages.roofline.all_cores(&work))),
        ],
        notes: notes(stages),
        ..Section::default()
    }
}

fn kernel_row(kernel: &Measured) -> Row {
    let Measured { load, one, all, .. } = kernel;
    let exact = |n: u64| if n == 0 { Cell::Empty } else { Cell::Exact(n as f64) };
    let per_byte = match load.bytes {
        0 => Cell::Empty,
        bytes => measured(&one.iter().map(|s| s * 1e9 / bytes as f64).collect::<Vec<_>>()),
    };
    let scaling: Vec<f64> = one.iter().zip(all).map(|(one, all)| one / all).collect();
    let cells = vec![
        rate(load.bytes, one),
        rate(load.bytes, all),
        rate(load.items, one),
        rate(load.items, all),
        measured(&scaling),
        per_byte,
        exact(load.bytes),
        exact(load.items),
        if kernel.path.is_empty() { Cell::Empty } else { text(&kernel.path) },
    ];
    Row { label: kernel.name.clone(), cells }
}

fn notes(stages: &Stages) -> Vec<String> {
    let shape = &stages.shape;
    let mut notes = vec![
        "Items: entries walked, files, chunks, ids looked up, blobs. The page cache is warm. What one thread does in order \
         in the pipeline (select, claim, pack, store) is not measured on all cores."
            .to_string(),
        format!(
            "Look-ups: an index of {} rows. A kernel alone finds its input in memory, in the pipeline it is often still \
             in the processor's cache: a run can come closer to the roofline than these speeds suggest.",
            stages.index_rows
        ),
        "Without a kernel of their own, since they are small: the parent's comparison, the placing of blobs, the encoding \
         of the tree."
            .to_string(),
    ];
    for (what, path) in [("Hashing", stages.hash_on), ("Cutting", stages.cut_on)] {
        if let Some(path) = path {
            notes.push(format!(
                "{what} was measured on {path}, as asked for; a backup takes the path listed as in use."
            ));
        }
    }
    if !stages.is_whole() {
        let left = stages.kernels.iter().filter(|kernel| !kernel.is_measured()).map(|kernel| kernel.name.as_str());
        let left: Vec<_> = left.collect();
        notes.push(format!("Not measured, so there is no roofline: {}.", left.join("; ")));
    }
    if shape.limited {
        notes.push(format!(
            "Measured on the first {} bytes of the data (--limit); the walk is of all of it.",
            shape.bytes
        ));
    }
    notes
}

/// Numbers of a bound as cells: rate, seconds, what binds.
pub fn bound_cells(bytes: f64, bound: &Bound) -> Vec<Cell> {
    vec![Cell::Exact(bytes / bound.seconds), Cell::Exact(bound.seconds), text(&bound.binds)]
}

fn bounds(stages: &Stages) -> Section {
    let work = stages.first_backup();
    let (one, all) = (stages.roofline.one_core(&work), stages.roofline.all_cores(&work));
    let mut rows = vec![Row { label: "one core".into(), cells: bound_cells(work.read, &one) }];
    if stages.cores > 1 {
        let label = format!("{} cores", stages.cores);
        rows.push(Row { label, cells: bound_cells(work.read, &all) });
    }
    Section {
        id: "roofline".into(),
        title: "Roofline of a first backup".into(),
        columns: vec![
            Column::new("limit", "at most", Unit::BytesPerSecond, Better::Higher),
            Column::new("seconds", "at least", Unit::Seconds, Better::Lower),
            Column::new("binds", "what binds", Unit::Text, Better::Neither),
        ],
        rows,
        notes: vec![shape_note(stages, &work)],
        ..Section::default()
    }
}

/// The data's part in it.
fn shape_note(stages: &Stages, work: &Work) -> String {
    let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    format!(
        "Of {:.0} bytes of content {:.1} % are scanned for cuts and {:.1} % of what is hashed are duplicates; new bytes are stored as \
         {:.1} %. Chunks have {:.0} bytes in the mean, files {:.0}. Storage takes {:.0} MB/s.",
        work.read,
        share(work.scanned, work.read),
        share(work.hashed - work.new, work.hashed),
        share(work.sealed, work.new),
        work.hashed / work.chunks.max(1.0),
        work.read / work.files.max(1.0),
        stages.roofline.sink.unwrap_or(f64::INFINITY) / 1e6,
    )
}

fn terms(stages: &Stages) -> Section {
    let work = stages.first_backup();
    let one = stages.roofline.one_core(&work);
    let all = stages.roofline.all_cores(&work);
    let cpu: f64 = one.terms.iter().map(|(_, seconds)| seconds).sum();
    let rows = one.terms.iter().zip(&all.terms).filter(|(one, _)| one.1 > 0.0).map(|(one, all)| Row {
        label: one.0.into(),
        cells: vec![
            Cell::Exact(one.1),
            Cell::Exact(one.1 * 1e9 / work.read),
            Cell::Exact(one.1 / cpu),
            Cell::Exact(all.1),
        ],
    });
    Section {
        id: "terms".into(),
        title: "What the roofline adds up".into(),
        columns: vec![
            Column::new("one_core_seconds", "one core", Unit::Seconds, Better::Lower),
            Column::new("ns_per_byte", "per byte of content", Unit::NsPerByte, Better::Lower),
            Column::new("share", "share", Unit::Share, Better::Neither),
            Column::new("all_cores_seconds", "all cores", Unit::Seconds, Better::Lower),
        ],
        rows: rows.collect(),
        plots: vec![Plot::Bars {
            title: "Nanoseconds of a core for each byte".into(),
            column: "ns_per_byte".into(),
            limit: None,
            line: None,
        }],
        ..Section::default()
    }
}

fn paths() -> Section {
    let row = |path: path::CpuPath| Row {
        label: path.kernel.into(),
        cells: vec![text(path.used), text(path.here.join(", ")), text(path.change)],
    };
    Section {
        id: "cpu_paths".into(),
        title: "CPU paths".into(),
        columns: vec![
            Column::new("used", "in use", Unit::Text, Better::Neither),
            Column::new("here", "this processor could run", Unit::Text, Better::Neither),
            Column::new("change", "how another comes into use", Unit::Text, Better::Neither),
        ],
        rows: path::paths().into_iter().map(row).collect(),
        notes: vec!["`--path KERNEL=PATH` fails where that path is neither in use nor can be chosen.".into()],
        ..Section::default()
    }
}
