//! The rows of the tables: algorithms by profiles, each cut once over all of the data.

use super::Options;
use super::chunker::{Algorithm, Chunker};
use super::cores::Cores;
use super::corpus::Corpus;
use super::profile::Profile;
use super::rank;
use super::sizes::{self, Sizes};
use super::{dedup::Dedup, matching, resync::Resync};
use crate::harness::BenchError;
use crate::harness::report::{Cell, Unit, number};

/// One chunker and what is known of it.
pub struct Row {
    /// Its algorithm's name.
    pub name: &'static str,
    /// What that is.
    pub about: &'static str,
    /// What was asked for.
    pub profile: Profile,
    pub chunker: Box<dyn Chunker>,
    /// Its chunks of the data.
    pub lengths: Vec<u32>,
    pub sizes: Sizes,
    /// Their mean before it was matched.
    pub untuned: f64,
    /// Whether it may be ranked among those of its profile.
    pub ranked: bool,
    pub dedup: Option<Dedup>,
    /// Filled later; stays empty when the data is too small.
    pub resync: Option<Resync>,
}

impl Row {
    /// For the first column.
    pub fn label(&self) -> String {
        format!("{} {}", self.name, self.profile)
    }
}

/// All rows, profile by profile, and what is to be said of them.
pub struct Rows {
    pub rows: Vec<Row>,
    /// What cannot be had, and who is not ranked.
    pub notes: Vec<String>,
}

impl Rows {
    /// Makes and cuts them.
    pub fn cut(corpus: &Corpus, options: &Options, cores: &Cores, say: &dyn Fn(&str)) -> Result<Rows, BenchError> {
        let mut all = Rows { rows: vec![], notes: vec![] };
        for profile in &options.profiles {
            let from = all.rows.len();
            for algorithm in &options.algorithms {
                cores.go_on()?;
                say(&format!("sizes: {} {profile}", algorithm.name()));
                let wanted = all.rows.get(from).filter(|_| options.match_mean).map(|row| row.sizes.mean);
                match row(*algorithm, profile, corpus, cores, wanted)? {
                    Ok(row) => all.rows.push(row),
                    Err(why) => {
                        all.notes.push(format!("{} is not measured at {profile}: {why}", algorithm.name()));
                    }
                }
            }
            all.notes.extend(refusal(&mut all.rows[from..], options.match_mean));
        }
        if all.rows.is_empty() {
            return Err(BenchError::NotMeasured(all.notes.join("; ")));
        }
        Ok(all)
    }

    /// A rank for each row among those of its profile, by values of which more is better.
    pub fn ranks(&self, value: impl Fn(&Row) -> Option<rank::Value>) -> Vec<Cell> {
        let mut cells = vec![Cell::Empty; self.rows.len()];
        let mut from = 0;
        for group in self.rows.chunk_by(|a, b| a.profile == b.profile) {
            let ranked: Vec<(usize, rank::Value)> = (from..)
                .zip(group)
                .filter(|(_, row)| row.ranked)
                .filter_map(|(at, row)| value(row).map(|value| (at, value)))
                .collect();
            let values: Vec<rank::Value> = ranked.iter().map(|(_, value)| *value).collect();
            for ((at, _), rank) in ranked.iter().zip(rank::ranks(&values)) {
                cells[*at] = Cell::Exact(rank as f64);
            }
            from += group.len();
        }
        cells
    }
}

/// One row, tuned to the wanted mean if there is one; or why not.
fn row(
    algorithm: &'static dyn Algorithm,
    profile: &Profile,
    corpus: &Corpus,
    cores: &Cores,
    wanted: Option<f64>,
) -> Result<Result<Row, String>, BenchError> {
    let mut chunker = match algorithm.make(profile, None) {
        Ok(chunker) => chunker,
        Err(why) => return Ok(Err(why)),
    };
    let mut lengths = cores.lengths(corpus, &*chunker)?;
    let untuned = sizes::mean(&lengths);
    if let Some(wanted) = wanted.filter(|wanted| !matching::is_close(untuned, *wanted)) {
        let mean_of = &mut |chunker: &dyn Chunker| Ok(sizes::mean(&cores.lengths(corpus, chunker)?));
        if let Some(matched) = matching::tune(algorithm, profile, wanted, mean_of)? {
            chunker = matched.chunker;
            lengths = cores.lengths(corpus, &*chunker)?;
        }
    }
    let sizes = Sizes::of(&lengths);
    let (name, about, profile) = (algorithm.name(), algorithm.about(), *profile);
    Ok(Ok(Row { name, about, profile, chunker, lengths, sizes, untuned, ranked: false, dedup: None, resync: None }))
}

/// Decides who of one profile is ranked; in words, who is not and why.
fn refusal(rows: &mut [Row], matched: bool) -> Option<String> {
    let means: Vec<f64> = rows.iter().map(|row| row.sizes.mean).collect();
    for (row, ranked) in rows.iter_mut().zip(rank::comparable(&means)) {
        row.ranked = ranked;
    }
    let (ranked, left): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.ranked);
    let profile = left.first().filter(|_| rows.len() > 1)?.profile;
    let size = |mean: f64| number::show(mean, Unit::Bytes);
    let named: Vec<_> = left.iter().map(|row| format!("{} ({})", row.name, size(row.sizes.mean))).collect();
    let (who, others) = match ranked.first() {
        Some(first) => {
            (named.join(", "), format!("from those that are, such as {} ({})", first.name, size(first.sizes.mean)))
        }
        None => (named.join(", "), "from one another".into()),
    };
    let help = if matched { "tuning did not bring them together" } else { "--match-mean tunes them until they agree" };
    Some(format!("{profile}: not ranked: {who}. Their mean chunk sizes differ by more than 5 % {others}; {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::chunkers::{ALL, by_name};
    use crate::harness::chunking::testing::noise;
    use std::sync::atomic::AtomicBool;

    fn cut(names: &[&str], avg: usize, match_mean: bool) -> Result<Rows, BenchError> {
        let stop = AtomicBool::new(false);
        let algorithms = names.iter().map(|name| by_name(name).unwrap()).collect();
        let profiles = vec![Profile::of_avg(avg).unwrap()];
        let options = Options { algorithms, profiles, match_mean, ..Options::default() };
        let cores = Cores::new(2, &stop).unwrap();
        Rows::cut(&Corpus::of("d", &[&noise(8 << 20)]), &options, &cores, &|_| {})
    }

    fn ranked(rows: &Rows) -> Vec<bool> {
        rows.rows.iter().map(|row| row.ranked).collect()
    }

    #[test]
    fn means_that_differ_are_not_ranked_and_the_note_says_so() {
        let rows = cut(&["larder", "larder-across", "fastcdc-v2020"], 8 << 10, false).unwrap();
        assert_eq!(ranked(&rows), [true, true, false]);
        assert_eq!(rows.notes.len(), 1);
        let note = &rows.notes[0];
        assert!(note.starts_with("2K/8K/32K: not ranked: fastcdc-v2020 (") && note.contains("--match-mean"), "{note}");
        let by_mean = rows.ranks(|row| Some((row.sizes.mean, row.sizes.mean, row.sizes.mean)));
        assert_eq!(by_mean, [Cell::Exact(1.0), Cell::Exact(1.0), Cell::Empty]);
        let alone = cut(&["larder"], 8 << 10, false).unwrap();
        assert_eq!((ranked(&alone), alone.notes.len()), (vec![false], 0));
        let apart = cut(&["larder", "fastcdc-v2020"], 8 << 10, false).unwrap();
        assert_eq!(ranked(&apart), [false, false]);
        assert!(apart.notes[0].contains("from one another"), "{:?}", apart.notes);
    }

    #[test]
    fn matched_means_are_ranked() {
        let names = ALL.map(|algorithm| algorithm.name());
        let rows = cut(&names, 8 << 10, true).unwrap();
        assert_eq!((ranked(&rows), rows.notes.len()), (vec![true; names.len()], 0), "{:?}", rows.notes);
        let v2020 = &rows.rows[2];
        assert!(v2020.untuned > v2020.sizes.mean * 1.05, "it was tuned: {} {:?}", v2020.untuned, v2020.sizes);
    }

    #[test]
    fn who_cannot_have_a_profile_is_named() {
        let rows = cut(&["larder", "fixed"], 2 << 20, false).unwrap();
        assert_eq!((rows.rows.len(), rows.rows[0].name), (1, "fixed"));
        assert_eq!(
            rows.notes,
            ["larder is not measured at 512K/2M/8M: chunker parameters not allowed: largest chunk above 2 MiB"]
        );
        let none = cut(&["larder"], 2 << 20, false).err().unwrap();
        assert!(none.to_string().contains("largest chunk above 2 MiB"), "{none}");
    }
}
