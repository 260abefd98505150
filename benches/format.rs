//! How fast records are decoded, and encoded: a block of index rows, tree nodes, a pack's table, a manifest.
//! `cargo bench --bench format`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::id::{ContentId, ObjectId, SessionId};
use larder::base::path::key_of;
use larder::base::time::Time;
use larder::format::blob::BlobKind;
use larder::format::list::Item;
use larder::format::pack::{Member, PackTable, TableBlob};
use larder::format::segment::{Row, RowBlock};
use larder::format::snapshot::{Manifest, SignedManifest};
use larder::format::tree::{Child, Content, Entry, EntryKind, LeafEncoder, Meta, Node, Totals};
use std::hint::black_box;

/// Ids as even as hashes, ascending with `n` so that rows are in order.
fn id(n: u32) -> ContentId {
    let mut id = *blake3::hash(&n.to_le_bytes()).as_bytes();
    id[..4].copy_from_slice(&n.to_be_bytes());
    ContentId(id)
}

fn time(n: u32) -> Time {
    Time { s: 1_700_000_000 + i64::from(n) * 37, ns: n.wrapping_mul(7919) % 1_000_000_000 }
}

/// A file of a source tree: every tenth is short enough to lie in its entry.
fn entry(n: u32) -> Entry {
    let path = format!("/home/anna/src/project/drivers/part-{:05}/file-{n:06}.c", n / 40);
    let size = u64::from(n % 977) * 31 + 200;
    let content = match n % 10 {
        0 => Content::Inline(vec![b'x'; 100]),
        _ => Content::Items(vec![Item::Chunk { id: id(n), len: size as u32 }]),
    };
    Entry {
        key: key_of(path.as_bytes()).expect("an absolute path"),
        meta: Meta {
            kind: EntryKind::File,
            mode: 0o644,
            uid: 1000,
            gid: 1000,
            user: b"anna".to_vec(),
            group: b"anna".to_vec(),
            size: if n.is_multiple_of(10) { 100 } else { size },
            mtime: time(n),
            ctime: time(n + 1),
            btime: Some(time(n)),
            nlink: 1,
            device: 2049,
            inode: 1_000_000 + u64::from(n),
            rdev: (0, 0),
            target: Vec::new(),
            xattrs: Vec::new(),
        },
        content,
        changed_while_read: false,
        extensions: Vec::new(),
    }
}

fn rows(c: &mut Criterion) {
    let row = |n: u32| Row {
        id: id(n),
        kind: BlobKind::Chunks,
        pack: n / 1000,
        blob_offset: 119 + n % 1000 * 65_000,
        blob_len: 64_000,
        inner_offset: n % 8 * 30_000,
        inner_len: 29_000,
    };
    let rows: Vec<Row> = (0..2000).map(row).collect();
    let mut block = Vec::new();
    let taken = RowBlock::encode(&rows, &mut block);
    assert_eq!(RowBlock::decode(&block).expect("a block"), rows[..taken]);
    let mut group = c.benchmark_group("format/index rows");
    group.throughput(Throughput::Elements(taken as u64));
    group.bench_function("decode", |b| b.iter(|| RowBlock::decode(black_box(&block))));
    group.bench_function("encode", |b| {
        b.iter(|| {
            block.clear();
            RowBlock::encode(black_box(&rows), &mut block)
        })
    });
    group.finish();
}

fn tree(c: &mut Criterion) {
    let entries: Vec<Entry> = (0..400).map(entry).collect();
    let mut encoder = LeafEncoder::default();
    let mut encode = |entries: &[Entry]| {
        entries.iter().for_each(|entry| encoder.push(entry));
        encoder.finish()
    };
    let leaf = encode(&entries);
    assert_eq!(Node::decode(&leaf).expect("a leaf"), Node::Leaf(entries.clone()));
    let mut group = c.benchmark_group("format/tree leaf");
    group.throughput(Throughput::Elements(entries.len() as u64));
    group.bench_function("decode", |b| b.iter(|| Node::decode(black_box(&leaf))));
    group.bench_function("encode", |b| b.iter(|| encode(black_box(&entries))));
    group.finish();

    let totals = Totals { entries: 400, files: 400, directories: 0, bytes: 5_000_000, flawed: 0 };
    let child = |n: u32| Child { first: entry(n * 400).key, id: id(n), totals };
    let node = Node::Inner { level: 1, children: (0..250).map(child).collect() };
    let inner = node.encode();
    assert_eq!(Node::decode(&inner).expect("a node"), node);
    let mut group = c.benchmark_group("format/tree node");
    group.throughput(Throughput::Elements(250));
    group.bench_function("decode", |b| b.iter(|| Node::decode(black_box(&inner))));
    group.bench_function("encode", |b| b.iter(|| black_box(&node).encode()));
    group.finish();
}

fn table(c: &mut Criterion) {
    let blob = |n: u32| TableBlob {
        kind: BlobKind::Chunks,
        sealed_len: 80_000 + n,
        members: (0..20).map(|m| Member { id: id(n * 20 + m), len: 12_000 + m }).collect(),
    };
    let table = PackTable { blobs: (0..800).map(blob).collect() };
    let bytes = table.encode();
    assert_eq!(PackTable::decode(&bytes).expect("a table"), table);
    let mut group = c.benchmark_group("format/pack table");
    group.throughput(Throughput::Elements(800 * 20));
    group.bench_function("decode", |b| b.iter(|| PackTable::decode(black_box(&bytes))));
    group.bench_function("encode", |b| b.iter(|| black_box(&table).encode()));
    group.finish();
}

fn manifest(c: &mut Criterion) {
    let manifest = Manifest {
        root: id(1),
        root_level: 2,
        totals: Totals { entries: 80_000, files: 75_000, directories: 5000, bytes: 1_200_000_000, flawed: 0 },
        session: SessionId([3; 16]),
        host: "laptop".into(),
        user: "anna".into(),
        paths: vec![b"/etc".to_vec(), b"/home/anna".to_vec()],
        tags: vec!["daily".into(), "work".into()],
        time: time(1),
        started: time(1),
        ended: time(2),
        errors: 0,
        novel_bytes: 900_000_000,
        stored_bytes: 370_000_000,
        program: "larder 0.1.0".into(),
        sequence: 41,
        previous: Some(ObjectId([4; 32])),
        heads: Vec::new(),
        parent: Some(ObjectId([4; 32])),
        options: vec!["--exclude=*.o".into()],
        extensions: Vec::new(),
    };
    let signed = SignedManifest { manifest, signer: [7; 32], signature: [8; 64] };
    let bytes = signed.encode();
    assert_eq!(SignedManifest::decode(&bytes).expect("a manifest"), signed);
    let mut group = c.benchmark_group("format/manifest");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| b.iter(|| SignedManifest::decode(black_box(&bytes))));
    group.bench_function("encode", |b| b.iter(|| black_box(&signed).encode()));
    group.finish();
}

criterion_group!(benches, rows, tree, table, manifest);
criterion_main!(benches);
