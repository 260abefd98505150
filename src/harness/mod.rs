//! The benchmark harness: numbers that hold on noisy machines. `larder bench` is its command line.
//!
//! Each kind of measurement is a room of its own and gives a [`report::Report`]; [`report`] turns that into a table, JSON,
//! Markdown, CSV, the formats of trackers, and a page. Nothing here prints.
//!
//! | room | what |
//! |---|---|
//! | [`stats`] | medians, spreads, bootstrap intervals, seeded |
//! | [`machine`] | what was measured on, and what makes its numbers doubtful |
//! | [`report`] | the model of a report, and its forms |
//! | [`data`] | data sets: recipes, generators, digests |
//! | [`chunking`] | chunkers side by side |
//! | [`stages`] | each kernel alone, and the roofline they add up to |
//! | [`scenario`] | whole backups, restores, checks in this process |
//! | [`compare`] | whole programs side by side |
//! | [`gate`] | pass or fail against a baseline |

pub mod error;
pub mod random;
pub mod stats;
pub mod machine;
pub mod report;
pub mod data;
pub mod chunking;
pub mod stages;
pub mod scenario;
pub mod compare;
pub mod gate;

pub use error::BenchError;
