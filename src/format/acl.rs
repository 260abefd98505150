//! A POSIX ACL as text, from the bytes that Linux keeps as `system.posix_acl_access` and `system.posix_acl_default`.

/// The only version of the bytes that there is.
const VERSION: u32 = 2;
/// Tag, permissions and number of one entry.
const ENTRY: usize = 8;

/// `user::rw-,user:1002:rwx,group::r--,mask::rwx,other::---`: entries between commas, users and groups by number, which
/// all unpackers of archives read. `None` when the bytes are none of an ACL.
pub fn text(value: &[u8]) -> Option<String> {
    let (version, entries) = value.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION || entries.is_empty() || entries.len() % ENTRY != 0 {
        return None;
    }
    let entries: Option<Vec<String>> = entries.chunks_exact(ENTRY).map(entry).collect();
    Some(entries?.join(","))
}

fn entry(bytes: &[u8]) -> Option<String> {
    let &[tag_low, tag_high, permissions, 0, ref id @ ..] = bytes else { return None };
    let id = u32::from_le_bytes(id.try_into().ok()?);
    let who = match u16::from_le_bytes([tag_low, tag_high]) {
        0x01 => "user:".into(),
        0x02 => format!("user:{id}"),
        0x04 => "group:".into(),
        0x08 => format!("group:{id}"),
        0x10 => "mask:".into(),
        0x20 => "other:".into(),
        _ => return None,
    };
    let bit = |bit: u8, letter| if permissions & bit != 0 { letter } else { '-' };
    (permissions < 8).then(|| format!("{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
        }
        bytes
    }

    #[test]
    fn all_kinds_of_entries_have_their_words() {
        const NONE: u32 = u32::MAX;
        let all = [(1, 6, NONE), (2, 7, 1002), (4, 4, NONE), (8, 1, 0), (0x10, 7, NONE), (0x20, 0, NONE)];
        let expected = "user::rw-,user:1002:rwx,group::r--,group:0:--x,mask::rwx,other::---";
        assert_eq!(text(&bytes(&all)).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_acl_has_no_text() {
        let good = bytes(&[(1, 6, 0)]);
        assert!(text(&good).is_some());
        for bad in [&good[..3], &good[..4], &good[..11], &[&good[..], &[0]].concat()] {
            assert_eq!(text(bad), None);
        }
        assert_eq!(text(&bytes(&[(3, 6, 0)])), None);
        assert_eq!(text(&bytes(&[(1, 8, 0)])), None);
        assert_eq!(text(&bytes(&[(1, 0x106, 0)])), None);
        assert_eq!(text(&[&[3, 0, 0, 0], &good[4..]].concat()), None);
    }
}
