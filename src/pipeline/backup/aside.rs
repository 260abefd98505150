//! The claims of a dry run. A dry run stores nothing, so no segment ever lets it release a claim.
//!
//! When there are many claims, they become a run of a separate index in a temporary folder of the cache, which no
//! other look-up sees. So a dry run counts duplicates as exactly as a backup, in as little memory.

use super::context::BackupContext;
use super::item::{Batch, ChunkState};
use crate::base::id::{ContentId, ObjectId};
use crate::crypto::keys::random_bytes;
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::format::segment::{Row, SegmentPack};
use crate::index::{Index, IndexError};
use crate::store::cache::temporary_folder;
use tempfile::TempDir;

/// How the names of its folders begin.
const FOLDER_PREFIX: &str = "dry-run-";

/// Claims of a dry run that are not in memory.
#[derive(Default)]
pub struct Aside {
    // The index is closed before its folder is removed: fields are dropped in order.
    index: Option<(Index, TempDir)>,
    failed: bool,
}

impl Aside {
    /// Sees to a batch that has just claimed: what was claimed long ago is known, and many claims are put aside.
    pub fn recall(&mut self, context: &BackupContext, batch: &mut Batch) {
        if let Some((index, _)) = &self.index {
            let novel = batch.buffer.chunks.iter_mut().filter(|chunk| chunk.state == ChunkState::Novel);
            for chunk in novel.filter(|chunk| index.contains(&chunk.id)) {
                chunk.state = ChunkState::Known;
                context.claims.release([chunk.id]);
            }
        }
        if context.claims.len() < context.claims_max {
            return;
        }
        let ids = context.claims.ids();
        if let Err(error) = self.put(context, &ids)
            && !std::mem::replace(&mut self.failed, true)
        {
            // Memory stays bounded all the same.
            context.monitor.note(&format!(
                "the dry run counts some repeated content as new each time, since the index cache fails: {error}"
            ));
        }
        context.claims.release(ids);
    }

    fn put(&mut self, context: &BackupContext, ids: &[ContentId]) -> Result<(), IndexError> {
        let (index, _) = match &mut self.index {
            Some(index) => index,
            none => {
                let folder = temporary_folder(&context.cache, FOLDER_PREFIX)?;
                none.insert((Index::open(folder.path(), context.ring.store)?, folder))
            }
        };
        let row = |id: &ContentId| Row {
            id: *id,
            kind: BlobKind::Chunks,
            pack: 0,
            blob_offset: 0,
            blob_len: 0,
            inner_offset: 0,
            inner_len: 0,
        };
        // Where nothing lies.
        let nowhere = SegmentPack { id: ObjectId([0; 32]), kind: PackKind::Data, len: 0, header_len: 0 };
        let mut builder = index.builder()?;
        builder.segment(ObjectId(random_bytes()), &[nowhere])?;
        for some in ids.chunks(1024) {
            builder.rows(&some.iter().map(row).collect::<Vec<_>>())?;
        }
        index.install(builder)
    }
}
