//! Paths and keys: one key a path, order as documented, and nothing leads out of the tree.
#![no_main]

use larder::base::path::{check_key, children_prefix, components, key_of, path_of, split_key, subtree_prefix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if check_key(bytes).is_ok() {
        let path = path_of(bytes);
        assert_eq!(key_of(&path).as_deref(), Ok(bytes));
    }
    let Ok(key) = key_of(bytes) else { return };
    assert_eq!(check_key(&key), Ok(()));
    let path = path_of(&key);
    let parts = components(&path).expect("a path made from a key is a path");
    assert_eq!(parts, components(bytes).expect("it has a key"));
    assert!(parts.iter().all(|part| !part.is_empty() && *part != b"." && *part != b".." && !part.contains(&0)));
    // An ancestor comes before what is below it, and its prefix is theirs.
    if let Some((_, above)) = parts.split_last() {
        let parent = key_of(&[b"/", &above.join(&b'/')[..]].concat()).expect("a beginning of a path is a path");
        assert!(
            parent < key && key.starts_with(&children_prefix(&parent)) && key.starts_with(&subtree_prefix(&parent))
        );
        assert_eq!(split_key(&key).map(|(_, name)| name), parts.last().copied());
    }
});
