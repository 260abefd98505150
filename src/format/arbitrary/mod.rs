//! Strategies for every type of the formats, boundary values included, for the property tests of all layers.

mod tree;

pub use tree::*;

use crate::base::id::{ContentId, ObjectId, SessionId, StoreId};
use crate::base::limits::*;
use crate::base::time::Time;
use crate::format::blob::{BlobHeader, BlobKind, CodecId, SEALED_LEN_MIN};
use crate::format::config::{ChunkerParams, Config, Epoch, Member, SignedConfig};
use crate::format::cursor::NANOS;
use crate::format::envelope::{Envelope, ObjectKind};
use crate::format::extension::Extension;
use crate::format::keyslot::{KeyBundle, KeySlot, SlotKind};
use crate::format::pack::{self, PackHeader, PackKind, PackTable, PackTrailer, TableBlob, TablePointer};
use crate::format::problems::{KeptProblem, ProblemKind, ProblemList};
use crate::format::segment::{Fence, Row, SegmentFooter, SegmentHeader, SegmentPack, SegmentTrailer};
use crate::format::session::{Checkpoint, Lease, Outcome, SessionPurpose, Verdict};
use crate::format::snapshot::{Head, Manifest, SignedManifest};
use crate::format::state::{DamagedPack, Record, SignedRecord};
use crate::format::trust::Trust;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

/// Numbers, those beside a power of 128 or of 2^32 more often than others.
pub fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(vec![0, 1, 2, 127, 128, 16_383, 16_384, 1 << 28, u64::from(u32::MAX), 1 << 63, u64::MAX]),
        0..100_000u64,
        any::<u64>(),
    ]
}

/// Numbers from `min` to `max`, the ends more often than others.
pub fn between(min: u64, max: u64) -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(min), 1 => Just(max), 4 => min..=max, 4 => min..=max.min(min.saturating_add(5000))]
}

fn between_u32(min: usize, max: usize) -> impl Strategy<Value = u32> {
    between(min as u64, max as u64).prop_map(|number| number as u32)
}

/// Content ids, some of them neighbours.
pub fn content_id() -> impl Strategy<Value = ContentId> {
    prop_oneof![any::<[u8; 32]>(), any::<u8>().prop_map(|byte| [byte; 32])].prop_map(ContentId)
}

pub fn object_id() -> impl Strategy<Value = ObjectId> {
    any::<[u8; 32]>().prop_map(ObjectId)
}

pub fn session_id() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

pub fn store_id() -> impl Strategy<Value = StoreId> {
    any::<[u8; 16]>().prop_map(StoreId)
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    vec(any::<u8>(), 64).prop_map(|bytes| std::array::from_fn(|i| bytes[i]))
}

fn object_ids() -> impl Strategy<Value = Vec<ObjectId>> {
    btree_set(object_id(), 0..4).prop_map(|ids| ids.into_iter().collect())
}

/// Texts without control characters.
pub fn text(max: usize) -> impl Strategy<Value = String> {
    prop_oneof![4 => "\\PC{0,12}", 1 => Just("x".repeat(max)), 1 => Just(String::new())]
        .prop_filter("control characters", move |text| text.len() <= max && !text.chars().any(char::is_control))
}

pub fn time() -> impl Strategy<Value = Time> {
    let s = prop_oneof![Just(0i64), Just(i64::MIN), Just(i64::MAX), Just(-1), 1_600_000_000..1_600_000_100i64];
    let ns = prop_oneof![Just(0u32), Just(NANOS - 1), 0..NANOS];
    (s, ns).prop_map(|(s, ns)| Time { s, ns })
}

/// Extensions that any reader may pass over.
pub fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let some = btree_map(any::<u16>(), vec(any::<u8>(), 0..20), 1..4).prop_map(|all| {
        all.into_iter().map(|(kind, body)| Extension { kind, critical: false, body }).collect::<Vec<_>>()
    });
    prop_oneof![3 => Just(Vec::new()), 2 => some]
}

/// Lists of problems.
pub fn problems() -> impl Strategy<Value = ProblemList> {
    let kind = select(vec![ProblemKind::Unread, ProblemKind::Changed]);
    let kept = (kind, vec(any::<u8>(), 0..20), text(1024)).prop_map(|(kind, path, message)| KeptProblem {
        kind,
        path,
        message,
    });
    (any::<u64>(), any::<u64>(), vec(kept, 0..5)).prop_map(|(unread, changed, kept)| ProblemList {
        unread,
        changed,
        kept,
    })
}

/// Envelopes of small sealed objects.
pub fn envelope() -> impl Strategy<Value = Envelope> {
    (select(ObjectKind::ALL.to_vec()), store_id(), any::<u32>()).prop_map(|(kind, store, epoch)| Envelope {
        kind,
        store,
        epoch,
    })
}

/// Headers inside blobs, with a payload that fits them.
pub fn blob() -> impl Strategy<Value = (BlobHeader, Vec<u8>)> {
    let members = prop_oneof![
        Just(vec![]),
        vec(between_u32(1, 300), 2..20),
        vec(between_u32(1, 3), GROUP_MEMBERS_MAX),
        vec(between_u32(1, BLOB_PLAIN_BYTES_MAX / 4), 4),
    ];
    let codec = select(vec![CodecId::Raw, CodecId::Lz4, CodecId::Zstd]);
    (codec, members, between_u32(1, BLOB_PLAIN_BYTES_MAX), vec(any::<u8>(), 0..50)).prop_map(
        |(mut codec, members, one, mut payload)| {
            let plain_len = if members.is_empty() { one } else { members.iter().sum() };
            if plain_len > 100_000 && codec == CodecId::Raw {
                codec = CodecId::Zstd;
            }
            if codec == CodecId::Raw {
                payload.resize(plain_len as usize, 7);
            }
            (BlobHeader { codec, plain_len, members }, payload)
        },
    )
}

fn key_block() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 32), Just(vec![]), Just(vec![5; KEY_BLOCK_BYTES_MAX])]
}

fn pack_kind() -> impl Strategy<Value = PackKind> {
    select(vec![PackKind::Data, PackKind::Tree])
}

pub fn pack_header() -> impl Strategy<Value = PackHeader> {
    (store_id(), any::<u32>(), pack_kind(), session_id(), key_block())
        .prop_map(|(store, epoch, kind, session, key_block)| PackHeader { store, epoch, kind, session, key_block })
}

pub fn pack_trailer() -> impl Strategy<Value = PackTrailer> {
    (pack_header(), vec(any::<u8>(), PackTrailer::POINTER_LEN)).prop_map(|(header, pointer)| PackTrailer {
        header: header.encode(),
        pointer: std::array::from_fn(|i| pointer[i]),
    })
}

/// Pointers to a pack's table.
pub fn table_pointer() -> impl Strategy<Value = TablePointer> {
    (between_u32(0, PACK_BYTES_MAX), between_u32(SEALED_LEN_MIN, PACK_BYTES_MAX))
        .prop_map(|(offset, length)| TablePointer { offset, length })
}

/// Blobs of a pack's table.
pub fn table_blob() -> impl Strategy<Value = TableBlob> {
    let kind = select(vec![BlobKind::Chunks, BlobKind::Node, BlobKind::List]);
    let lens = prop_oneof![vec(between_u32(1, CHUNK_MAX), 1..5), vec(Just(1u32), 100), Just(vec![16 << 20])];
    (kind, between_u32(SEALED_LEN_MIN, BLOB_PLAIN_BYTES_MAX), lens, any::<[u8; 32]>()).prop_map(
        |(kind, sealed_len, mut lens, id)| {
            if kind != BlobKind::Chunks {
                lens.truncate(1);
            }
            let member = |(i, len): (usize, u32)| {
                let mut id = ContentId(id);
                id.0[0] = id.0[0].wrapping_add(i as u8);
                pack::Member { id, len }
            };
            TableBlob { kind, sealed_len, members: lens.into_iter().enumerate().map(member).collect() }
        },
    )
}

/// Tables of contents.
pub fn pack_table() -> impl Strategy<Value = PackTable> {
    vec(table_blob(), 0..8).prop_map(|blobs| PackTable { blobs })
}

pub fn segment_header() -> impl Strategy<Value = SegmentHeader> {
    (store_id(), session_id(), key_block(), extensions())
        .prop_map(|(store, session, key_block, extensions)| SegmentHeader { store, session, key_block, extensions })
}

pub fn row() -> impl Strategy<Value = Row> {
    let kind = select(vec![BlobKind::Chunks, BlobKind::Node, BlobKind::List]);
    let place = (between_u32(0, SEGMENT_PACKS_MAX - 1), between_u32(PackHeader::LEN_MIN, PACK_BYTES_MAX));
    let inner = (between_u32(0, BLOB_PLAIN_BYTES_MAX - 1), between_u32(1, BLOB_PLAIN_BYTES_MAX));
    (content_id(), kind, place, between_u32(SEALED_LEN_MIN, 17 << 20), inner).prop_map(
        |(id, kind, (pack, blob_offset), blob_len, (mut inner_offset, inner_len))| {
            if kind != BlobKind::Chunks {
                inner_offset = 0;
            }
            let inner_len = inner_len.min(BLOB_PLAIN_BYTES_MAX as u32 - inner_offset);
            Row { id, kind, pack, blob_offset, blob_len, inner_offset, inner_len }
        },
    )
}

/// Rows in the order of a segment.
pub fn rows(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Row>> {
    vec(row(), count).prop_map(|mut rows| {
        let order = |r: &Row| (r.id, r.pack, r.blob_offset, r.inner_offset);
        rows.sort_by_key(order);
        rows.dedup_by_key(|r| order(r));
        rows
    })
}

/// Packs of a segment.
pub fn segment_pack() -> impl Strategy<Value = SegmentPack> {
    let len = between_u32(PackHeader::LEN_MAX, PACK_BYTES_MAX);
    (object_id(), pack_kind(), len, between_u32(PackHeader::LEN_MIN, PackHeader::LEN_MAX))
        .prop_map(|(id, kind, len, header_len)| SegmentPack { id, kind, len, header_len })
}

pub fn segment_footer() -> impl Strategy<Value = SegmentFooter> {
    let fence = (content_id(), between_u32(SEALED_LEN_MIN, 70_000), 1..2000u32, any::<[u8; 32]>());
    let blocks = (between_u32(0, 5000), vec(fence, 0..5)).prop_map(|(mut offset, mut fences)| {
        fences.sort_by_key(|fence| fence.0);
        let next = |(first, len, rows, digest)| {
            let fence = Fence { first, offset, len, rows, digest };
            offset += len;
            fence
        };
        fences.into_iter().map(next).collect::<Vec<_>>()
    });
    (vec(segment_pack(), 0..4), blocks, vec(any::<u8>(), 0..40), any::<[u8; 32]>(), signature()).prop_map(
        |(packs, fences, filter, signer, signature)| SegmentFooter { packs, fences, filter, signer, signature },
    )
}

pub fn segment_trailer() -> impl Strategy<Value = SegmentTrailer> {
    (between_u32(0, 1 << 27), between_u32(SEALED_LEN_MIN, 1 << 27))
        .prop_map(|(footer_offset, footer_len)| SegmentTrailer { footer_offset, footer_len })
}

pub fn key_slot() -> impl Strategy<Value = KeySlot> {
    let passphrase = (between_u32(8 * 16, KDF_MEMORY_KIB_MAX as usize), 1..=KDF_PASSES_MAX, 1..=KDF_LANES_MAX)
        .prop_map(|(memory_kib, passes, lanes)| SlotKind::Passphrase { memory_kib, passes, lanes });
    let kind = prop_oneof![Just(SlotKind::KeyFile), passphrase];
    let keys = any::<[[u8; 32]; 3]>();
    let rest = (any::<i64>(), text(LABEL_BYTES_MAX), vec(any::<u8>(), 40..200), extensions());
    (store_id(), kind, keys, rest).prop_map(
        |(store, kind, [salt, commitment, exchange_public], (created_s, label, sealed, extensions))| KeySlot {
            store,
            kind,
            salt,
            commitment,
            exchange_public,
            created_s,
            label,
            sealed,
            extensions,
        },
    )
}

pub fn key_bundle() -> impl Strategy<Value = KeyBundle> {
    (1..=3u8, any::<[[u8; 32]; 4]>()).prop_map(|(role, [store_secret, master, maintainer_seed, exchange_secret])| {
        KeyBundle { role, store_secret, master, maintainer_seed, exchange_secret }
    })
}

pub fn chunker_params() -> impl Strategy<Value = ChunkerParams> {
    (1..1000u32, 1..1000u32, 1..1000u32, any::<u64>(), any::<u64>()).prop_map(|(a, b, c, strict, loose)| {
        let mask_strict = strict >> 17;
        ChunkerParams {
            algorithm: 1,
            min: 2 * a,
            avg: 2 * (a + b),
            max: 2 * (a + b + c),
            mask_strict,
            mask_loose: mask_strict & loose,
        }
    })
}

pub fn config() -> impl Strategy<Value = SignedConfig> {
    let sealed = || vec(any::<u8>(), Epoch::SEALED_LEN);
    let epochs = btree_map(1..=u32::MAX, (sealed(), sealed()), 1..4).prop_map(|epochs| {
        let each = |(number, (sealed, sealed_by_next))| Epoch { number, sealed, sealed_by_next };
        let mut epochs: Vec<Epoch> = epochs.into_iter().map(each).collect();
        epochs.last_mut().unwrap().sealed_by_next.clear();
        epochs
    });
    let roster = btree_map(any::<[u8; 32]>(), (0..16u8, text(LABEL_BYTES_MAX)), 0..4).prop_map(|roster| {
        roster.into_iter().map(|(key, (roles, name))| Member { key, roles, name }).collect::<Vec<_>>()
    });
    let sizes = (
        between_u32(1, PACK_BYTES_MAX / PACK_BYTES_MIN).prop_map(|blocks| blocks * PACK_BYTES_MIN as u32),
        between_u32(0, BLOB_PLAIN_BYTES_MAX),
        between_u32(0, INLINE_BYTES_MAX),
        between_u32(0, NODE_BYTES_MIN),
        between_u32(NODE_BYTES_MIN, NODE_BYTES_MAX),
    );
    let head = (any::<u32>(), any::<[u64; 2]>(), store_id(), chunker_params(), sizes, any::<u32>());
    let tail = (epochs, roster, extensions(), any::<[u8; 32]>(), signature());
    (head, tail).prop_map(|((number, features, store, chunker, sizes, node_threshold), tail)| {
        let (epochs, roster, extensions, signer, signature) = tail;
        let (pack_bytes, group_bytes, inline_bytes, node_bytes_min, node_bytes_max) = sizes;
        let config = Config {
            number,
            features_incompatible: features[0],
            features_read_only: features[1],
            store,
            chunker,
            pack_bytes,
            group_bytes,
            inline_bytes,
            node_bytes_min,
            node_bytes_max,
            node_threshold,
            epochs,
            roster,
            extensions,
        };
        SignedConfig { config, signer, signature }
    })
}

pub fn lease() -> impl Strategy<Value = Lease> {
    let purpose = select(vec![SessionPurpose::Backup, SessionPurpose::Maintenance, SessionPurpose::Read]);
    let who = (session_id(), purpose, any::<[u8; 32]>(), text(LABEL_BYTES_MAX));
    (who, time(), any::<u32>(), object_ids(), any::<u32>(), extensions()).prop_map(
        |((session, purpose, host_key, host), started, lease_s, snapshots, process, extensions)| Lease {
            session,
            purpose,
            host_key,
            host,
            started,
            lease_s,
            snapshots,
            process,
            extensions,
        },
    )
}

pub fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    (session_id(), 1..=u32::MAX, object_ids(), object_ids(), object_ids(), extensions()).prop_map(
        |(session, number, packs, condemnations_seen, packs_in_use, extensions)| Checkpoint {
            session,
            number,
            packs,
            condemnations_seen,
            packs_in_use,
            extensions,
        },
    )
}

pub fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![object_id().prop_map(Verdict::Committed), Just(Verdict::Done), Just(Verdict::None)]
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let summary = vec(number(), 5).prop_map(|numbers| std::array::from_fn(|i| numbers[i]));
    (session_id(), verdict(), object_ids(), summary, extensions(), any::<[u8; 32]>(), signature()).prop_map(
        |(session, verdict, segments, summary, extensions, signer, signature)| Outcome {
            session,
            verdict,
            segments,
            summary,
            extensions,
            signer,
            signature,
        },
    )
}

fn heads() -> impl Strategy<Value = Vec<Head>> {
    btree_map(any::<[u8; 32]>(), (number(), object_id()), 0..4).prop_map(|heads| {
        heads.into_iter().map(|(signer, (sequence, manifest))| Head { signer, sequence, manifest }).collect()
    })
}

pub fn manifest() -> impl Strategy<Value = SignedManifest> {
    let paths = btree_set(path(), 0..4).prop_map(|paths| paths.into_iter().collect::<Vec<_>>());
    let tags = btree_set(text(LABEL_BYTES_MAX), 0..4)
        .prop_map(|tags| tags.into_iter().filter(|tag| !tag.is_empty()).collect::<Vec<_>>());
    let what = (content_id(), 0..TREE_LEVELS_MAX as u8, totals(), session_id());
    let who = (text(LABEL_BYTES_MAX), text(LABEL_BYTES_MAX), paths, tags, text(LABEL_BYTES_MAX));
    let when = (time(), time(), time(), number(), number(), number());
    let chain = (number(), proptest::option::of(object_id()), heads(), proptest::option::of(object_id()));
    let rest = (vec(text(OPTION_BYTES_MAX), 0..3), extensions(), any::<[u8; 32]>(), signature());
    (what, who, when, chain, rest).prop_map(|(what, who, when, chain, rest)| {
        let (root, root_level, totals, session) = what;
        let (host, user, paths, tags, program) = who;
        let (time, started, ended, errors, novel_bytes, stored_bytes) = when;
        let (sequence, previous, heads, parent) = chain;
        let (options, extensions, signer, signature) = rest;
        let manifest = Manifest {
            root,
            root_level,
            totals,
            session,
            host,
            user,
            paths,
            tags,
            time,
            started,
            ended,
            errors,
            novel_bytes,
            stored_bytes,
            program,
            sequence,
            previous,
            heads,
            parent,
            options,
            extensions,
        };
        SignedManifest { manifest, signer, signature: if signer == [0; 32] { [0; 64] } else { signature } }
    })
}

pub fn record() -> impl Strategy<Value = SignedRecord> {
    let settled = btree_map(session_id(), verdict(), 0..4).prop_map(|all| all.into_iter().collect::<Vec<_>>());
    let record = prop_oneof![
        btree_set(object_id(), 1..4).prop_map(|ids| Record::Removal { snapshots: ids.into_iter().collect() }),
        (object_id(), session_id()).prop_map(|(removal, session)| Record::Undelete { removal, session }),
        object_ids().prop_map(|packs| Record::Mark { packs }),
        (object_ids(), object_ids(), object_id()).prop_map(|(packs, snapshots, mark)| Record::Condemnation {
            packs,
            snapshots,
            mark
        }),
        (object_id(), object_ids(), object_ids()).prop_map(|(condemnation, deleted, spared)| Record::Decision {
            condemnation,
            deleted,
            spared
        }),
        (settled, object_ids(), object_ids()).prop_map(|(sessions, removed, replaces)| Record::SettledList {
            sessions,
            removed,
            replaces
        }),
        btree_map(object_id(), btree_set(any::<u32>(), 0..4), 1..4).prop_map(|packs| Record::Damage {
            packs: packs
                .into_iter()
                .map(|(id, blobs)| DamagedPack { id, blobs: blobs.into_iter().collect() })
                .collect()
        }),
    ];
    (record, time(), any::<[u8; 16]>(), extensions(), any::<[u8; 32]>(), signature()).prop_map(
        |(record, created, unique, extensions, signer, signature)| SignedRecord {
            record,
            created,
            unique,
            extensions,
            signer,
            signature,
        },
    )
}

pub fn trust() -> impl Strategy<Value = Trust> {
    let signers = btree_map(any::<[u8; 32]>(), text(LABEL_BYTES_MAX), 0..4).prop_map(|all| all.into_iter().collect());
    (store_id(), any::<u32>(), signers, heads()).prop_map(|(store, config, signers, heads)| Trust {
        store,
        config,
        signers,
        heads,
    })
}
