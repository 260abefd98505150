//! larder, a snapshot backup engine.
//!
//! The way of the data:
//!
//! ```text
//! source → scan → read → chunk → hash → dedup ─novel→ compress → place → encrypt → write → upload → commit
//!                                         └─known──── reference only ─────────────────────────────┘
//! ```
//!
//! Layers, lowest first; a module imports only from lower ranks, and `tests/it/tidy.rs` holds that:
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`base`] |
//! | 1 | [`monitor`], [`format`] |
//! | 2 | [`chunking`], [`codec`], [`crypto`] |
//! | 3 | [`source`], [`storage`], [`destination`] |
//! | 4 | [`object`] |
//! | 5 | [`index`] |
//! | 6 | [`store`] |
//! | 7 | [`pipeline`] |
//! | 8 | [`ops`] |
//! | 9 | `cli` |

pub mod base;
pub mod monitor;
pub mod format;
pub mod chunking;
pub mod codec;
pub mod crypto;
pub mod source;
pub mod storage;
pub mod destination;
pub mod object;
pub mod index;
pub mod store;
pub mod pipeline;
pub mod ops;
#[cfg(feature = "cli")]
pub mod cli;
