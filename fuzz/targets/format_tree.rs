//! Tree nodes: what is accepted encodes to the same bytes, holds valid entries in order, and unfolds to bounded memory.
#![no_main]

use larder::format::tree::Node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(node) = Node::decode(bytes) else { return };
    assert_eq!(node.encode(), bytes);
    if let Node::Leaf(entries) = &node {
        assert!(entries.is_sorted_by(|a, b| a.key < b.key));
        assert!(entries.iter().all(|entry| entry.check().is_ok()));
        let keys: usize = entries.iter().map(|entry| entry.key.len()).sum();
        assert!(keys <= bytes.len() * 256);
    }
});
