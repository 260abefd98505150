//! How a pack comes about: a blob is laid out, gets its place, is sealed for that place, goes out, and the pack ends with
//! its table. Whoever writes packs takes these steps and no others.
//!
//! | step | here | in a backup |
//! |---|---|---|
//! | lay out: compress between room for nonce tail and tag | [`lay_out`] | compress |
//! | place: choose the pack and the offset, end packs | [`Placer`] | place |
//! | seal | [`OpenPack::seal`] | encrypt |
//! | copy into blocks, hash, name | [`super::stream::PackStream`] | write |
//! | store | [`super::stream::PackUpload`] | upload |
//!
//! The pipeline takes each step in a stage of its own; [`super::writer::PackWriter`] takes them one after the other.

use super::layout::PackLayout;
use super::{Keyring, pack_secret};
use crate::base::id::SessionId;
use crate::codec::{Compression, Compressor, compress_bound};
use crate::crypto::CryptoError;
use crate::crypto::keys::random_bytes;
use crate::crypto::pack::{NonceInput, PackKey};
use crate::format::blob::{BlobKind, NONCE_TAIL_LEN, TAG_LEN, encode_header, header_len};
use crate::format::pack::{PackHeader, PackKind, PackTable, TableBlob};
use std::sync::Arc;

/// What the inside of a blob says of it: goes into its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// Number of its codec.
    pub codec: u8,
    /// Its plain length.
    pub plain_len: u32,
}

/// Compresses `plain` into a blob at `at` in `out`, which grows when it must: room for the nonce tail, the header, the
/// payload, room for the tag. `members` are the lengths of a group's members. Gives what its nonce needs, and its sealed
/// length.
pub fn lay_out(
    compressor: &mut Compressor,
    how: Compression,
    plain: &[u8],
    members: &[u32],
    out: &mut Vec<u8>,
    at: usize,
) -> (Inside, u32) {
    let header = at + NONCE_TAIL_LEN;
    let payload = header + header_len(members);
    let room = payload + compress_bound(plain.len());
    if out.len() < room + TAG_LEN {
        out.resize(room + TAG_LEN, 0);
    }
    let (codec, len) = compressor.compress(how, plain, &mut out[payload..room]);
    let plain_len = plain.len() as u32;
    encode_header(codec, plain_len, members, &mut out[header..payload]);
    (Inside { codec: codec as u8, plain_len }, (payload + len + TAG_LEN - at) as u32)
}

/// A pack that blobs are being placed in.
pub struct OpenPack {
    number: u64,
    kind: PackKind,
    key: PackKey,
    header: Vec<u8>,
}

impl OpenPack {
    /// A new pack of a session with its layout. The salt in its header makes its key its own.
    fn begin(
        ring: &Keyring,
        kind: PackKind,
        session: SessionId,
        pack_bytes: u32,
        number: u64,
    ) -> (OpenPack, PackLayout) {
        let epoch = ring.newest();
        let key_block = random_bytes::<32>().to_vec();
        let header = PackHeader { store: ring.store, epoch: epoch.number, kind, session, key_block };
        let layout = PackLayout::new(&header, pack_bytes);
        let header = layout.header_bytes().to_vec();
        let key = PackKey::new(pack_secret(epoch, kind), &header);
        (OpenPack { number, kind, key, header }, layout)
    }

    /// 0, 1, …: tells the packs of one placer apart.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its first bytes.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Seals a blob that is laid out in `blob` for the offset that it was given. `ids` are those of all that lies in it.
    #[inline]
    pub fn seal(&self, kind: BlobKind, offset: u32, inside: Inside, ids: &[u8], blob: &mut [u8]) {
        let Inside { codec, plain_len } = inside;
        self.key.seal(kind, offset, NonceInput::Ids { codec, plain_len, ids }, blob);
    }

    /// Opens one again and gives its inside.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub fn open<'a>(&self, kind: BlobKind, offset: u32, blob: &'a mut [u8]) -> Result<&'a mut [u8], CryptoError> {
        self.key.open(kind, offset, blob)
    }
}

/// A pack whose blobs all have their places.
#[derive(Debug, Clone)]
pub struct ClosedPack {
    pub kind: PackKind,
    /// Its last bytes, sealed: padding, table, trailer.
    pub tail: Vec<u8>,
    /// Length of its header: where its first blob lies.
    pub header_len: u32,
    /// What it holds.
    pub table: PackTable,
    /// Length of the whole pack.
    pub len: u32,
}

/// Gives blobs their places by their lengths alone, pack after pack. An offset is never given twice under one key, whatever
/// becomes of the blob: it only goes forward, and each pack has a key of its own.
pub struct Placer {
    ring: Arc<Keyring>,
    kind: PackKind,
    session: SessionId,
    pack_bytes: u32,
    open: Option<(Arc<OpenPack>, PackLayout)>,
    packs: u64,
}

/// Where a blob goes.
pub struct Place<'a> {
    pub pack: &'a Arc<OpenPack>,
    /// Its offset there.
    pub offset: u32,
    /// The pack before, which ended since this blob did not fit any more.
    pub before: Option<(Arc<OpenPack>, ClosedPack)>,
}

impl Placer {
    /// Begins with no pack open.
    pub fn new(ring: Arc<Keyring>, kind: PackKind, session: SessionId, pack_bytes: u32) -> Placer {
        Placer { ring, kind, session, pack_bytes, open: None, packs: 0 }
    }

    /// The place of the next blob.
    pub fn place(&mut self, row: TableBlob) -> Place<'_> {
        let full = self.open.take_if(|(_, layout)| !layout.is_empty() && !layout.fits(&row));
        let before = full.map(|(pack, layout)| close(pack, layout, true));
        let (pack, layout) = match &mut self.open {
            Some(open) => open,
            none => {
                let (pack, layout) = OpenPack::begin(&self.ring, self.kind, self.session, self.pack_bytes, self.packs);
                self.packs += 1;
                none.insert((Arc::new(pack), layout))
            }
        };
        Place { offset: layout.place(row), pack, before }
    }

    /// Ends the open pack, if there is one; the next blob begins another.
    pub fn finish(&mut self) -> Option<(Arc<OpenPack>, ClosedPack)> {
        self.open.take().map(|(pack, layout)| close(pack, layout, false))
    }
}

fn close(pack: Arc<OpenPack>, layout: PackLayout, full: bool) -> (Arc<OpenPack>, ClosedPack) {
    let closed = layout.close(&pack.key, full);
    let header_len = pack.header.len() as u32;
    let closed = ClosedPack { kind: pack.kind, tail: closed.tail, header_len, table: closed.table, len: closed.len };
    (pack, closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ContentId;
    use crate::base::limits::KIB;
    use crate::format::blob::BlobHeader;
    use crate::format::pack::Member;
    use crate::object::tests::ring;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn row(sealed_len: u32) -> TableBlob {
        let members = vec![Member { id: ContentId([7; 32]), len: 1000 }];
        TableBlob { kind: BlobKind::Chunks, sealed_len, members }
    }

    proptest! {
        #[test]
        fn no_offset_is_given_twice_under_one_key_and_packs_end_in_the_order_they_began(
            blobs in prop::collection::vec((31u32..9000, any::<bool>()), 1..200),
        ) {
            let mut placer = Placer::new(Arc::new(ring()), PackKind::Data, SessionId([1; 16]), 16 * KIB as u32);
            let (mut headers, mut given, mut ended, mut ends) = (HashMap::new(), HashMap::new(), 0, Vec::new());
            for (sealed_len, finish) in blobs {
                let place = placer.place(row(sealed_len));
                let (number, offset) = (place.pack.number(), place.offset);
                ends.extend(place.before);
                let of_pack = headers.entry(place.pack.header().to_vec()).or_insert(number);
                prop_assert_eq!(*of_pack, number, "each pack has a header, and so a key, of its own");
                let until = given.entry(number).or_insert(place.pack.header().len() as u32);
                prop_assert_eq!(offset, *until, "where the blob before ends, and nowhere else");
                *until += sealed_len;
                // An early end is what a writer does that gives up a pack, or has waited too long.
                ends.extend(finish.then(|| placer.finish()).flatten());
                for (pack, closed) in ends.drain(..) {
                    prop_assert_eq!((pack.number(), closed.header_len as usize), (ended, pack.header().len()));
                    ended += 1;
                }
            }
            ended += u64::from(placer.finish().is_some());
            prop_assert_eq!(ended, placer.packs);
            prop_assert!(placer.finish().is_none());
        }

        #[test]
        fn what_is_laid_out_and_sealed_opens_to_its_header_and_bytes(
            lens in prop::collection::vec(1u32..3000, 1..9), before in 0usize..100, noisy in any::<bool>(),
        ) {
            let len: u32 = lens.iter().sum();
            let mut plain = vec![3; len as usize];
            if noisy {
                blake3::Hasher::new().finalize_xof().fill(&mut plain);
            }
            let (mut compressor, mut out) = (Compressor::default(), Vec::new());
            let how = Compression::Lz4;
            let (inside, sealed_len) = lay_out(&mut compressor, how, &plain, &lens, &mut out, before);
            prop_assert!(out.len() >= before + sealed_len as usize);
            let mut placer = Placer::new(Arc::new(ring()), PackKind::Data, SessionId([1; 16]), 64 * KIB as u32);
            let place = placer.place(row(sealed_len));
            let blob = &mut out[before..before + sealed_len as usize];
            place.pack.seal(BlobKind::Chunks, place.offset, inside, &[7; 32], blob);
            let opened = place.pack.open(BlobKind::Chunks, place.offset, blob).unwrap();
            let (header, payload) = BlobHeader::decode(opened).unwrap();
            prop_assert_eq!((header.codec as u8, header.plain_len), (inside.codec, len));
            let mut back = vec![0; len as usize];
            crate::codec::Decompressor::default().decompress(header.codec, payload, &mut back).unwrap();
            prop_assert!(back == plain);
        }
    }
}
