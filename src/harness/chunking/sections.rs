//! Tables made of what was measured.

use super::corpus::Corpus;
use super::dedup::Dedup;
use super::profile::{Profile, Size};
use super::resync::{self, EDIT_MOST, EVERY, Resync};
use super::rows::{Row, Rows};
use super::throughput::Speed;
use super::{rank, sizes};
use crate::harness::report::{self, Better, Cell, Column, Plot, Section, Unit, number};
use crate::harness::stats;

fn rank_column(id: &str, title: &str) -> Column {
    Column::new(id, title, Unit::Count, Better::Neither)
}

fn rows_of(rows: &Rows, cells: Vec<Vec<Cell>>) -> Vec<report::Row> {
    rows.rows.iter().zip(cells).map(|(row, cells)| report::Row { label: row.label(), cells }).collect()
}

fn profiles(rows: &Rows) -> impl Iterator<Item = &[Row]> {
    rows.rows.chunk_by(|a, b| a.profile == b.profile)
}

fn exact(value: f64) -> rank::Value {
    (value, value, value)
}

/// With a larger share of the bytes in files that nobody cuts, throughput is that of doing nothing.
const UNCUT_MOST: f64 = 0.5;

/// Why some have no rank; who, stands below the sizes.
fn unranked(rows: &Rows) -> Option<String> {
    let some = profiles(rows).any(|group| group.len() > 1 && group.iter().any(|row| !row.ranked));
    some.then(|| {
        "Rows without a rank are not comparable: their mean chunk sizes differ by more than 5 %, see there.".into()
    })
}

/// Who is measured, with which parameters. `matched`: means were tuned.
pub fn chunkers(corpus: &Corpus, rows: &Rows, matched: bool) -> Section {
    let text = |id: &str, title: &str| Column::new(id, title, Unit::Text, Better::Neither);
    let mut columns = vec![text("about", "what"), text("parameters", "parameters")];
    columns.extend(matched.then(|| Column::new("mean_untuned", "untuned mean", Unit::Bytes, Better::Neither)));
    columns.extend(matched.then(|| Column::new("mean", "mean", Unit::Bytes, Better::Neither)));
    let cells = |row: &Row| {
        let mut cells = vec![Cell::Text(row.about.into()), Cell::Text(row.chunker.settings())];
        cells.extend([row.untuned, row.sizes.mean].into_iter().filter(|_| matched).map(Cell::Exact));
        cells
    };
    let notes = matched.then(|| "Each chunker is tuned on this data to the mean of the first of its profile.".into());
    Section {
        id: "chunkers".into(),
        title: "Chunkers".into(),
        data: Some(corpus.used()),
        columns,
        rows: rows_of(rows, rows.rows.iter().map(cells).collect()),
        plots: vec![],
        notes: notes.into_iter().collect(),
    }
}

/// Sizes of chunks.
pub fn sizes(corpus: &Corpus, rows: &Rows) -> Section {
    let bytes = |id: &str, title: &str| Column::new(id, title, Unit::Bytes, Better::Neither);
    let mut columns = vec![Column::new("chunks", "chunks", Unit::Count, Better::Neither), bytes("mean", "mean")];
    columns.push(bytes("min", "min"));
    columns.extend((1..10).map(|tenth| bytes(&format!("d{}", tenth * 10), &format!("{} %", tenth * 10))));
    columns.push(bytes("max", "max"));
    let cells = |row: &Row| {
        let sizes = &row.sizes;
        let mut numbers = vec![sizes.chunks as f64, sizes.mean];
        numbers.push(sizes.min);
        numbers.extend(sizes.deciles);
        numbers.push(sizes.max);
        numbers.into_iter().map(Cell::Exact).collect()
    };
    let histogram = |group: &[Row]| Plot::Histogram {
        title: format!("Chunk sizes, {}", group[0].profile),
        unit: Unit::Bytes,
        series: group.iter().map(|row| (row.name.to_string(), sizes::classes(&row.lengths, &row.profile))).collect(),
    };
    let mut notes = vec!["The last chunk of a file may be smaller than the smallest asked for.".into()];
    notes.extend(profiles(rows).filter_map(|group| uncut(corpus, &group[0].profile)));
    notes.extend(corpus.notes());
    notes.extend(rows.notes.iter().cloned());
    Section {
        id: "chunk_sizes".into(),
        title: "Chunk sizes".into(),
        data: Some(corpus.used()),
        columns,
        rows: rows_of(rows, rows.rows.iter().map(cells).collect()),
        plots: profiles(rows).map(histogram).collect(),
        notes,
    }
}

/// The share of the bytes that lie in files that nobody cuts.
fn uncut_share(corpus: &Corpus, profile: &Profile) -> f64 {
    let small = (0..corpus.files()).map(|at| corpus.file(at).len()).filter(|len| *len <= profile.min).sum::<usize>();
    small as f64 / corpus.bytes().len() as f64
}

/// Files that nobody cuts make all chunkers look alike.
fn uncut(corpus: &Corpus, profile: &Profile) -> Option<String> {
    let share = uncut_share(corpus, profile);
    (share > 0.1).then(|| {
        let (share, min) = (number::show(share, Unit::Share), Size(profile.min));
        format!(
            "{profile}: {share} of the bytes lie in files of at most {min}, which nobody cuts; --join cuts all files as one"
        )
    })
}

/// What deduplication keeps.
pub fn dedup(corpus: &Corpus, second: Option<&Corpus>, rows: &Rows) -> Section {
    let found = |row: &Row| row.dedup.expect("counted before");
    let cells = |(row, rank): (&Row, Cell)| {
        let dedup = found(row);
        let of_second = |value: &dyn Fn(super::dedup::Second) -> f64| match dedup.second {
            Some(second) => Cell::Exact(value(second)),
            None => Cell::Empty,
        };
        vec![
            Cell::Exact(dedup.unique as f64),
            Cell::Exact(dedup.ratio()),
            of_second(&|second| second.added as f64),
            of_second(&|second| second.shared as f64 / second.bytes as f64),
            of_second(&|_| dedup.ratio_of_all()),
            rank,
        ]
    };
    let ranks = rows.ranks(|row| Some(exact(found(row).ratio_of_all())));
    let mut notes = vec![match second {
        Some(second) => {
            let used = second.used();
            format!(
                "The second version is {}. Chunks are counted before compression, without what indexes cost.",
                number::data(&used)
            )
        }
        None => "There is no second version: --second PATH names one.".into(),
    }];
    notes.extend(second.iter().flat_map(|second| second.notes()));
    notes.extend(unranked(rows));
    Section {
        id: "dedup".into(),
        title: "Deduplication".into(),
        data: Some(corpus.used()),
        columns: vec![
            Column::new("unique", "different chunks", Unit::Bytes, Better::Lower),
            Column::new("ratio", "dedup ratio", Unit::Ratio, Better::Higher),
            Column::new("second_added", "added by the second", Unit::Bytes, Better::Lower),
            Column::new("second_shared", "shared by the second", Unit::Share, Better::Higher),
            Column::new("ratio_both", "dedup ratio of both", Unit::Ratio, Better::Higher),
            rank_column("rank", "rank"),
        ],
        rows: rows_of(rows, rows.rows.iter().zip(ranks).map(cells).collect()),
        plots: vec![],
        notes,
    }
}

/// What is found again after small edits.
pub fn resync(corpus: &Corpus, rows: &Rows) -> Section {
    let cells = |(row, rank): (&Row, Cell)| match row.resync {
        Some(found) => {
            let mut cells: Vec<Cell> = found.bytes.map(Cell::Exact).into();
            cells.extend([found.all(), found.chunks, found.new_by_edit].map(Cell::Exact));
            cells.push(rank);
            cells
        }
        None => vec![Cell::Empty; 7],
    };
    let ranks = rows.ranks(|row| row.resync.as_ref().map(|found| exact(found.all())));
    let share = |id: &str, title: &str| Column::new(id, title, Unit::Share, Better::Higher);
    let mut notes = vec![format!(
        "Shares are of bytes in chunks that are found again. The data is taken as one stream, with an edit of 1 to {EDIT_MOST} \
         bytes at a seeded place in every {EVERY} average sizes of the profile; an edit costs one chunk or more."
    )];
    notes.extend(profiles(rows).filter(|group| group.iter().all(|row| row.resync.is_none())).map(|group| {
        let profile = &group[0].profile;
        format!("{profile}: the data is too small for edits: it takes {} at least", Size(resync::least(profile)))
    }));
    notes.extend(unranked(rows));
    Section {
        id: "resync".into(),
        title: "Resync after small edits".into(),
        data: Some(corpus.used()),
        columns: vec![
            share("insert", "insert"),
            share("delete", "delete"),
            share("overwrite", "overwrite"),
            share("all", "all edits"),
            share("chunks", "chunks shared"),
            Column::new("new_by_edit", "new chunks an edit", Unit::Count, Better::Lower),
            rank_column("rank", "rank"),
        ],
        rows: rows_of(rows, rows.rows.iter().zip(ranks).map(cells).collect()),
        plots: vec![],
        notes,
    }
}

/// How fast, beside what decides whether that can be compared.
pub fn throughput(corpus: &Corpus, rows: &Rows, speeds: &[Speed], cores: usize) -> Section {
    let is_cut = |profile: &Profile| uncut_share(corpus, profile) <= UNCUT_MOST;
    // Bytes that nobody cuts have no speed of cutting.
    let by_row = |samples: &dyn Fn(&Speed) -> &[f64]| -> Vec<Cell> {
        let one = |(row, speed): (&Row, &Speed)| {
            if is_cut(&row.profile) { stats::measured(samples(speed)) } else { Cell::Empty }
        };
        rows.rows.iter().zip(speeds).map(one).collect()
    };
    let (one, all) = (by_row(&|speed| &speed.one), by_row(&|speed| &speed.all));
    let ranks = |cells: &[Cell]| {
        let value = |row: &Row| match &cells[rows.rows.iter().position(|other| std::ptr::eq(other, row))?] {
            Cell::Measured { value, low, high, .. } if is_cut(&row.profile) => Some((*low, *value, *high)),
            _ => None,
        };
        rows.ranks(value)
    };
    let (rank_one, rank_all) = (ranks(&one), ranks(&all));
    let cells = |at: usize| {
        let (row, speed) = (&rows.rows[at], &speeds[at]);
        let pairs: Vec<(f64, f64)> = speed.all.iter().copied().zip(speed.one.iter().copied()).collect();
        vec![
            one[at].clone(),
            all[at].clone(),
            if is_cut(&row.profile) { stats::ratio_of_medians(&pairs) } else { Cell::Empty },
            Cell::Exact(row.sizes.mean),
            row.dedup.as_ref().map_or(Cell::Empty, |dedup: &Dedup| Cell::Exact(dedup.ratio_of_all())),
            row.resync.as_ref().map_or(Cell::Empty, |found: &Resync| Cell::Exact(found.all())),
            rank_one[at].clone(),
            rank_all[at].clone(),
        ]
    };
    let bars =
        |title: &str, column: &str| Plot::Bars { title: title.into(), column: column.into(), limit: None, line: None };
    let all_title = if cores == 1 { "all cores".into() } else { format!("{cores} cores") };
    Section {
        id: "throughput".into(),
        title: "Throughput of cutting".into(),
        data: Some(corpus.used()),
        columns: vec![
            Column::new("one_core", "one core", Unit::BytesPerSecond, Better::Higher),
            Column::new("all_cores", &all_title, Unit::BytesPerSecond, Better::Higher),
            Column::new("scaling", "scaling", Unit::Ratio, Better::Neither),
            Column::new("mean", "at a mean of", Unit::Bytes, Better::Neither),
            Column::new("ratio", "dedup ratio", Unit::Ratio, Better::Neither),
            Column::new("resync", "resync", Unit::Share, Better::Neither),
            rank_column("rank_one", "rank, one core"),
            rank_column("rank_all", &format!("rank, {all_title}")),
        ],
        rows: rows_of(rows, (0..rows.rows.len()).map(cells).collect()),
        plots: if cores == 1 {
            vec![bars("Throughput on one core", "one_core")]
        } else {
            vec![bars("Throughput on one core", "one_core"), bars(&format!("Throughput on {cores} cores"), "all_cores")]
        },
        notes: throughput_notes(corpus, rows, cores),
    }
}

fn throughput_notes(corpus: &Corpus, rows: &Rows, cores: usize) -> Vec<String> {
    let mut notes = vec![
        "From memory. Ranks are among the chunkers of one profile; who cannot be told from the first of a rank, as their \
         intervals meet, shares it."
            .to_string(),
    ];
    let largest = corpus.largest() as f64 / corpus.bytes().len() as f64;
    if largest > 1.0 / cores as f64 && cores > 1 {
        notes.push(format!(
            "{} of the bytes lie in one file, which all but larder-across cut on one core",
            number::show(largest, Unit::Share)
        ));
    }
    if let Some(row) = rows.rows.iter().find(|row| !row.chunker.looks()) {
        notes.push(format!("{} does not look at the bytes: it takes no time.", row.name));
    }
    for profile in profiles(rows).map(|group| &group[0].profile) {
        if uncut_share(corpus, profile) > UNCUT_MOST {
            notes.push(format!("{profile}: too little is cut to say how fast that is."));
        }
    }
    notes.extend(rows.notes.iter().cloned());
    notes
}
