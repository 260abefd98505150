//! What only a store on a disk has: folders, modes, temporary files, open files.

use super::super::{Area, Block, Created, Storage, StorageErrorKind, StorageKey};
use super::LocalStorage;
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::BLOCK_BYTES;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn id(n: u8) -> ObjectId {
    ObjectId([n; 32])
}

fn store() -> (tempfile::TempDir, LocalStorage) {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = LocalStorage::create(&folder.path().join("a/store")).expect("a store");
    (folder, storage)
}

#[test]
fn what_is_put_is_there_after_opening_again() {
    let (_folder, storage) = store();
    let (key, lease) = (StorageKey::State(id(1)), StorageKey::Lease(SessionId([3; 16])));
    assert_eq!(storage.put_if_absent(&key, b"one").unwrap(), Created::New);
    assert_eq!(storage.put_if_absent(&key, b"two").unwrap(), Created::Exists);
    assert_eq!(storage.put_if_absent(&lease, b"").unwrap(), Created::New);
    let mut writer = storage.writer(Area::Packs).unwrap();
    let mut block = Block::new(BLOCK_BYTES);
    block.fill(&vec![5; BLOCK_BYTES]);
    writer.append(&mut block).unwrap();
    block.clear();
    block.fill(b"tail");
    writer.append(&mut block).unwrap();
    assert_eq!(writer.commit(&StorageKey::Pack(id(9))).unwrap(), Created::New);

    let again = LocalStorage::open(storage.folder()).unwrap();
    assert_eq!(again.identity(), storage.identity());
    assert_eq!(again.get(&key, 3).unwrap(), b"one");
    assert_eq!(again.get(&lease, 0).unwrap(), b"");
    let pack = again.get(&StorageKey::Pack(id(9)), BLOCK_BYTES * 2).unwrap();
    assert_eq!(pack.len(), BLOCK_BYTES + 4);
    assert_eq!(&pack[BLOCK_BYTES - 1..], b"\x05tail");
    for path in ["a", "a/store", "a/store/packs", "a/store/packs/09", "a/store/sessions"] {
        assert_eq!(fs::metadata(_folder.path().join(path)).unwrap().permissions().mode() & 0o777, 0o700, "{path}");
    }
    let file = storage.folder().join(StorageKey::Pack(id(9)).path());
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(storage.folder().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_no_store_is_not_found_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let error = LocalStorage::open(&path).err().expect("no store");
        assert_eq!(error.kind, StorageErrorKind::NotFound);
        assert!(error.to_string().contains("larder init"), "{error}");
    }
}
