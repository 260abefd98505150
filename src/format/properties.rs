//! Properties that hold for every format: what is encoded reads back, what is accepted encodes to the same bytes, and
//! the seeds of the fuzz targets (`fuzz/corpus`) stay readable by every later version.

use super::arbitrary;
use super::blob::{BlobHeader, encode_header, header_len};
use super::config::SignedConfig;
use super::envelope::Envelope;
use super::error::{DecodeError, Reason};
use super::keyslot::{KeyBundle, KeySlot};
use super::list::ListNode;
use super::pack::{PackHeader, PackTable, PackTrailer, TablePointer};
use super::problems::ProblemList;
use super::segment::{Row, RowBlock, SegmentFooter, SegmentHeader, SegmentTrailer};
use super::session::{Checkpoint, Lease, Outcome};
use super::snapshot::SignedManifest;
use super::state::SignedRecord;
use super::tree::Node;
use super::trust::Trust;
use proptest::prelude::*;
use proptest::sample::Index;

/// Decodes, and checks that what is accepted is the one encoding of its value.
type Check = fn(&[u8]) -> Result<(), DecodeError>;

fn blob_bytes(header: &BlobHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; header_len(&header.members)];
    encode_header(header.codec, header.plain_len, &header.members, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn row_bytes(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(RowBlock::encode(rows, &mut bytes), rows.len());
    bytes
}

macro_rules! whole {
    ($type:ty) => {
        |bytes| {
            assert_eq!(<$type>::decode(bytes)?.encode(), bytes);
            Ok(())
        }
    };
}

/// Makes valid bytes.
type Seeds = fn() -> BoxedStrategy<Vec<u8>>;

/// Each fuzz target's name, its decoder's check, and how to make seeds.
const FORMATS: &[(&str, Check, Seeds)] = &[
    (
        "format_envelope",
        |bytes| {
            let (envelope, nonce, sealed) = Envelope::decode(bytes)?;
            assert_eq!([&envelope.encode()[..], &nonce, sealed].concat(), bytes);
            Ok(())
        },
        || arbitrary::envelope().prop_map(|e| [&e.encode()[..], &[7; 24], &[9; 20]].concat()).boxed(),
    ),
    ("format_config", whole!(SignedConfig), || arbitrary::config().prop_map(|x| x.encode()).boxed()),
    ("format_keyslot", whole!(KeySlot), || arbitrary::key_slot().prop_map(|x| x.encode()).boxed()),
    ("format_keybundle", whole!(KeyBundle), || arbitrary::key_bundle().prop_map(|x| x.encode()).boxed()),
    (
        "format_blob",
        |bytes| {
            let (header, payload) = BlobHeader::decode(bytes)?;
            assert_eq!(blob_bytes(&header, payload), bytes);
            Ok(())
        },
        || arbitrary::blob().prop_map(|(header, payload)| blob_bytes(&header, &payload)).boxed(),
    ),
    (
        "format_pack_header",
        |bytes| {
            let (header, len) = PackHeader::decode(bytes)?;
            assert_eq!(header.encode(), bytes[..len]);
            Ok(())
        },
        || arbitrary::pack_header().prop_map(|x| x.encode()).boxed(),
    ),
    (
        "format_pack_trailer",
        |bytes| {
            let trailer = PackTrailer::decode(bytes)?.encode();
            assert_eq!(trailer, bytes[bytes.len() - trailer.len()..]);
            Ok(())
        },
        || arbitrary::pack_trailer().prop_map(|x| x.encode()).boxed(),
    ),
    ("format_pack_pointer", whole!(TablePointer), || {
        arbitrary::table_pointer().prop_map(|x| x.encode().into()).boxed()
    }),
    ("format_pack_table", whole!(PackTable), || arbitrary::pack_table().prop_map(|x| x.encode()).boxed()),
    (
        "format_segment_header",
        |bytes| {
            let (header, len) = SegmentHeader::decode(bytes)?;
            assert_eq!(header.encode(), bytes[..len]);
            Ok(())
        },
        || arbitrary::segment_header().prop_map(|x| x.encode()).boxed(),
    ),
    (
        "format_segment_rows",
        |bytes| {
            assert_eq!(row_bytes(&RowBlock::decode(bytes)?), bytes);
            Ok(())
        },
        || arbitrary::rows(1..10).prop_map(|rows| row_bytes(&rows)).boxed(),
    ),
    ("format_segment_footer", whole!(SegmentFooter), || arbitrary::segment_footer().prop_map(|x| x.encode()).boxed()),
    (
        "format_segment_trailer",
        |bytes| {
            let trailer = SegmentTrailer::decode(bytes)?.encode();
            assert_eq!(trailer, bytes[bytes.len() - trailer.len()..]);
            Ok(())
        },
        || arbitrary::segment_trailer().prop_map(|x| x.encode().into()).boxed(),
    ),
    ("format_list", whole!(ListNode), || arbitrary::list_node().prop_map(|x| x.encode()).boxed()),
    ("format_tree", whole!(Node), || arbitrary::node().prop_map(|x| x.encode()).boxed()),
    ("format_problems", whole!(ProblemList), || arbitrary::problems().prop_map(|x| x.encode()).boxed()),
    ("format_snapshot", whole!(SignedManifest), || arbitrary::manifest().prop_map(|x| x.encode()).boxed()),
    ("format_session_lease", whole!(Lease), || arbitrary::lease().prop_map(|x| x.encode()).boxed()),
    ("format_session_checkpoint", whole!(Checkpoint), || arbitrary::checkpoint().prop_map(|x| x.encode()).boxed()),
    ("format_session_outcome", whole!(Outcome), || arbitrary::outcome().prop_map(|x| x.encode()).boxed()),
    ("format_state", whole!(SignedRecord), || arbitrary::record().prop_map(|x| x.encode()).boxed()),
    ("format_trust", whole!(Trust), || arbitrary::trust().prop_map(|x| x.encode()).boxed()),
];

/// Changes `bytes` a little: a bit, a byte, one taken out, one put in, one doubled, the end cut off.
fn edit(bytes: &mut Vec<u8>, edits: &[(u8, Index, u8)]) {
    for (how, at, value) in edits {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match how % 6 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = *value,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, *value),
            4 => bytes.insert(at, bytes[at]),
            _ => bytes.truncate(at),
        }
    }
}

fn formats_with_bytes() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0..FORMATS.len()).prop_flat_map(|i| (Just(i), FORMATS[i].2()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_accepted_encodes_to_the_same_bytes(
        (i, mut bytes) in formats_with_bytes(),
        edits in prop::collection::vec(any::<(u8, Index, u8)>(), 0..4),
    ) {
        let (name, check, _) = FORMATS[i];
        if edits.is_empty() {
            prop_assert_eq!(check(&bytes), Ok(()), "{}", name);
        }
        edit(&mut bytes, &edits);
        let _ = check(&bytes);
    }

    #[test]
    fn no_proper_beginning_is_accepted((i, bytes) in formats_with_bytes(), at: Index) {
        let (name, check, _) = FORMATS[i];
        // These three hold bytes of any length at their end, or are read from it.
        let open_end = ["format_envelope", "format_keyslot", "format_blob"].contains(&name);
        if !open_end {
            prop_assert!(check(&bytes[..at.index(bytes.len())]).is_err(), "{}", name);
        }
    }
}

macro_rules! reads_back {
    ($($test:ident: $strategy:expr, $type:ty;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(100))]
            $(
                #[test]
                fn $test(value in $strategy) {
                    prop_assert_eq!(<$type>::decode(&value.encode()), Ok(value));
                }
            )*
        }
    };
}

reads_back! {
    a_config_reads_back: arbitrary::config(), SignedConfig;
    a_key_slot_reads_back: arbitrary::key_slot(), KeySlot;
    a_key_bundle_reads_back: arbitrary::key_bundle(), KeyBundle;
    a_pack_trailer_reads_back: arbitrary::pack_trailer(), PackTrailer;
    a_table_pointer_reads_back: arbitrary::table_pointer(), TablePointer;
    a_pack_table_reads_back: arbitrary::pack_table(), PackTable;
    a_segment_footer_reads_back: arbitrary::segment_footer(), SegmentFooter;
    a_segment_trailer_reads_back: arbitrary::segment_trailer(), SegmentTrailer;
    a_list_node_reads_back: arbitrary::list_node(), ListNode;
    a_tree_node_reads_back: arbitrary::node(), Node;
    a_manifest_reads_back: arbitrary::manifest(), SignedManifest;
    a_list_of_problems_reads_back: arbitrary::problems(), ProblemList;
    a_lease_reads_back: arbitrary::lease(), Lease;
    a_checkpoint_reads_back: arbitrary::checkpoint(), Checkpoint;
    an_outcome_reads_back: arbitrary::outcome(), Outcome;
    a_state_record_reads_back: arbitrary::record(), SignedRecord;
    a_trust_file_reads_back: arbitrary::trust(), Trust;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn headers_read_back_and_tell_their_length(
        pack in arbitrary::pack_header(),
        segment in arbitrary::segment_header(),
        (blob, payload) in arbitrary::blob(),
        envelope in arbitrary::envelope(),
    ) {
        let bytes = [pack.encode(), vec![1, 2, 3]].concat();
        prop_assert_eq!(PackHeader::decode(&bytes), Ok((pack, bytes.len() - 3)));
        let bytes = [segment.encode(), vec![1, 2, 3]].concat();
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok((segment, bytes.len() - 3)));
        let bytes = blob_bytes(&blob, &payload);
        prop_assert_eq!(BlobHeader::decode(&bytes), Ok((blob, &payload[..])));
        let bytes = [&envelope.encode()[..], &[3; 24], &[4; 16]].concat();
        prop_assert_eq!(Envelope::decode(&bytes), Ok((envelope, [3; 24], &[4; 16][..])));
    }

    #[test]
    fn a_tables_length_is_the_sum_of_its_blobs(table in arbitrary::pack_table()) {
        let len = PackTable::BASE_LEN + table.blobs.iter().map(PackTable::blob_len).sum::<usize>();
        prop_assert_eq!(table.encode().len(), len);
    }

    #[test]
    fn rows_are_cut_into_blocks_that_read_back(rows in arbitrary::rows(1..60)) {
        // Far more rows than a block holds: the same ones again under other ids.
        let mut many = Vec::new();
        for high in 0..60u8 {
            many.extend(rows.iter().map(|row| {
                let mut row = *row;
                row.id.0[0] = high;
                row
            }));
        }
        let order = |r: &Row| (r.id, r.pack, r.blob_offset, r.inner_offset);
        many.sort_by_key(order);
        many.dedup_by_key(|row| order(row));
        let (mut left, mut read) = (&many[..], Vec::new());
        while !left.is_empty() {
            let mut block = Vec::new();
            let taken = RowBlock::encode(left, &mut block);
            prop_assert!(taken >= 1 && block.len() <= crate::base::limits::SEGMENT_BLOCK_BYTES);
            read.extend(RowBlock::decode(&block).unwrap());
            left = &left[taken..];
        }
        prop_assert_eq!(read, many);
    }

    #[test]
    fn totals_of_a_leaf_are_those_of_its_encoder(entries in arbitrary::entries(0..10)) {
        let mut encoder = super::tree::LeafEncoder::default();
        for entry in &entries {
            prop_assert_eq!(entry.check(), Ok(()));
            encoder.push(entry);
        }
        prop_assert_eq!(encoder.count(), entries.len());
        prop_assert_eq!(encoder.totals(), Node::Leaf(entries.clone()).totals());
        let (len, bytes) = (encoder.len(), encoder.finish());
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(Node::Leaf(entries).encode(), bytes);
    }
}

/// One flipped bit of a signed or plain object gives another value or an error, never the same value.
#[test]
fn flipped_bits_are_never_passed_over() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (name, check, seeds) in FORMATS {
        let bytes = seeds().new_tree(&mut runner).unwrap().current();
        for at in 0..bytes.len().min(2000) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            // `check` compares the encoding of what was read with `flipped`: a passed-over bit would show there.
            let _ = check(&flipped);
        }
        assert_eq!(check(&bytes), Ok(()), "{name}");
    }
}

#[test]
fn huge_counts_are_refused_before_anything_is_allocated() {
    let huge_varint = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let decisions: [(&str, Result<(), DecodeError>); 7] = [
        ("pack table", PackTable::decode(&[0xff; 4]).map(drop)),
        ("tree leaf", Node::decode(&[0, 0xff, 0x7f, 0, 0]).map(drop)),
        ("tree inner", Node::decode(&[1, 0xff, 0x7f, 0, 0]).map(drop)),
        ("content list", ListNode::decode(&[0, 0xff, 0xff, 0xff, 0xff]).map(drop)),
        ("mark", SignedRecord::decode(&[&[7][..], &huge_varint].concat()).map(drop)),
        ("damage", SignedRecord::decode(&[&[11][..], &huge_varint].concat()).map(drop)),
        ("damaged blobs", SignedRecord::decode(&[&[11, 1][..], &[9; 32], &huge_varint].concat()).map(drop)),
    ];
    for (name, decoded) in decisions {
        let reason = decoded.unwrap_err().reason;
        assert!(matches!(reason, Reason::Truncated | Reason::Limit), "{name}: {reason:?}");
    }
}

/// Where the seeds of a fuzz target lie.
fn corpus(target: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Seeds named `valid-…` were written by a version of this program: later ones must read them. What a fuzzer found once
/// (any other name) must stay harmless.
#[test]
fn the_seeds_of_every_fuzz_target_are_read() {
    for (name, check, _) in FORMATS {
        let mut valid = 0;
        for file in std::fs::read_dir(corpus(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = file.unwrap().path();
            let read = check(&std::fs::read(&path).unwrap());
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("valid-")) {
                assert_eq!(read, Ok(()), "{}", path.display());
                valid += 1;
            }
        }
        assert!(valid > 0, "{name} has no seeds");
    }
}

#[test]
fn the_fuzz_targets_are_the_formats_of_this_list() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml")).unwrap();
    let names = manifest.lines().filter_map(|line| line.strip_prefix("name = \"format_"));
    let mut targets: Vec<String> = names.map(|name| format!("format_{}", name.trim_end_matches('"'))).collect();
    let mut formats: Vec<&str> = FORMATS.iter().map(|(name, ..)| *name).collect();
    targets.sort();
    formats.sort();
    assert_eq!(targets, formats);
}

/// Makes the seeds of one target that has none yet; run by hand after adding a format:
/// `cargo test --lib write_missing_seeds -- --ignored`.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_missing_seeds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (name, check, seeds) in FORMATS {
        let folder = corpus(name);
        if folder.exists() {
            continue;
        }
        std::fs::create_dir_all(&folder).unwrap();
        let small =
            (0..1000).map(|_| seeds().new_tree(&mut runner).unwrap().current()).filter(|seed| seed.len() < 1200);
        for (i, seed) in small.take(4).enumerate() {
            check(&seed).unwrap();
            std::fs::write(folder.join(format!("valid-{i}")), seed).unwrap();
        }
    }
}
