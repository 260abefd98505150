//! Sizes that chunkers are asked for.

use crate::base::limits::{BATCH_BYTES, CHUNK_AVG, CHUNK_MAX, CHUNK_MIN};
use crate::harness::BenchError;
use std::fmt;

/// Smallest, usual and largest chunk. All even, as the FastCDC loop looks at bytes in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Profile {
    /// No chunk but a file's last is smaller.
    pub min: usize,
    /// What each algorithm calls the average: the measured mean is another matter.
    pub avg: usize,
    /// No chunk is larger.
    pub max: usize,
}

impl Profile {
    pub const LARDER: Profile = Profile { min: CHUNK_MIN, avg: CHUNK_AVG, max: CHUNK_MAX };

    /// What is measured when nobody names a profile: larder's, one like those of many deduplicating file systems, one like
    /// those of other backup programs.
    pub fn usual() -> Vec<Profile> {
        vec![Profile::LARDER, Profile::around(8 << 10), Profile::around(1 << 20)]
    }

    /// A quarter and four times of the average around it; up to 1 MiB the largest chunk is at most what larder takes.
    fn around(avg: usize) -> Profile {
        let max = if avg < BATCH_BYTES { (avg * 4).min(BATCH_BYTES) } else { avg * 4 };
        Profile { min: (avg / 4) & !1, avg, max }
    }

    /// The profile around an average.
    pub fn of_avg(avg: usize) -> Result<Profile, BenchError> {
        Profile::around(avg.min(1 << 40)).checked()
    }

    /// The profile of these sizes.
    pub fn new(min: usize, avg: usize, max: usize) -> Result<Profile, BenchError> {
        Profile { min, avg, max }.checked()
    }

    /// Held to what all algorithms take, but larder's, which says itself what it does not take.
    fn checked(self) -> Result<Profile, BenchError> {
        use fastcdc::v2020::{AVERAGE_MAX, AVERAGE_MIN, MAXIMUM_MAX, MAXIMUM_MIN, MINIMUM_MAX, MINIMUM_MIN};
        let Profile { min, avg, max } = self;
        let refuse = |why: String| Err(BenchError::Invalid(format!("profile {self}: {why}")));
        if [min, avg, max].iter().any(|n| !n.is_multiple_of(2)) {
            return refuse("sizes must be even".into());
        }
        if min >= avg || avg >= max {
            return refuse("sizes must ascend: MIN/AVG/MAX, such as 64K/256K/1M".into());
        }
        for (what, size, from, to) in [
            ("smallest", min, MINIMUM_MIN, MINIMUM_MAX),
            ("average", avg, AVERAGE_MIN, AVERAGE_MAX),
            ("largest", max, MAXIMUM_MIN, MAXIMUM_MAX),
        ] {
            if !(from..=to).contains(&size) {
                return refuse(format!("the {what} chunk must have {} to {}", Size(from), Size(to)));
            }
        }
        Ok(self)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", Size(self.min), Size(self.avg), Size(self.max))
    }
}

/// A size as a person would write it: `64K`, `1M`, `70000`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n > 0 && n.is_multiple_of(1 << 20) => write!(f, "{}M", n >> 20),
            n if n > 0 && n.is_multiple_of(1 << 10) => write!(f, "{}K", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_gives_a_profile() {
        let profile = |avg| Profile::of_avg(avg).unwrap().to_string();
        assert_eq!(profile(8 << 10), "2K/8K/32K");
        assert_eq!(profile(256 << 10), Profile::LARDER.to_string());
        assert_eq!(profile(1 << 20), "256K/1M/2M");
        assert_eq!(profile(4 << 20), "1M/4M/16M");
        assert_eq!(profile(1000), "250/1000/4000");
    }

    #[test]
    fn profiles_that_no_chunker_takes_are_refused_with_the_reason() {
        let words = |p: Result<Profile, BenchError>| p.unwrap_err().to_string();
        assert_eq!(words(Profile::new(65, 256, 1024)), "profile 65/256/1K: sizes must be even");
        assert!(words(Profile::new(256, 256, 1024)).contains("must ascend"));
        assert!(words(Profile::new(256, 2048, 1024)).contains("must ascend"));
        assert!(words(Profile::new(2, 256, 1024)).contains("smallest chunk must have 64 to 1M"));
        assert!(words(Profile::of_avg(8 << 20)).contains("smallest chunk must have 64 to 1M"));
        assert!(words(Profile::of_avg(usize::MAX)).contains("smallest"));
        assert!(words(Profile::new(64, 128, 1024)).contains("average chunk must have 256 to 4M"));
        assert!(words(Profile::new(64, 256, 32 << 20)).contains("largest chunk must have 1K to 16M"));
    }
}
