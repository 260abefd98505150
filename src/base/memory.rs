//! Large buffers that cause few page faults, and few TLB misses where threads hand memory to each other.

use super::limits::BLOCK_ALIGN;
use rustix::mm::{Advice, madvise};
use std::ops::{Deref, DerefMut};

/// A huge page of x86-64 and of AArch64 with 4 KiB pages. Memory below it can hold none.
const HUGE: usize = 2 << 20;

/// Bytes of a fixed number, page-aligned, and in huge pages where they fill some. The box never moves what it points to, so no
/// unsafe is needed for that.
#[derive(Default)]
pub struct Pages {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Pages {
    /// Zeros. The byte at `first` begins a page, a huge one if what is left from there on fills one; the room that this
    /// takes is not touched.
    pub fn zeroed(len: usize, first: usize) -> Pages {
        let align = if len.saturating_sub(first) >= HUGE { HUGE } else { BLOCK_ALIGN };
        let bytes = vec![0u8; len + align - 1].into_boxed_slice();
        prefer_huge_pages(&bytes);
        // Not `align_offset`, which may decline to answer.
        let start = (bytes.as_ptr().addr() + first).wrapping_neg() % align;
        Pages { bytes, start, len }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Asks the system to back this memory by huge pages where it is touched from now on. A wish: where the system has none, or
/// has turned them off, nothing changes.
fn prefer_huge_pages(memory: &[u8]) {
    let bytes = memory.len();
    if bytes < HUGE {
        return;
    }
    let page = rustix::param::page_size();
    let skipped = memory.as_ptr().addr().wrapping_neg() % page;
    let pages = bytes.saturating_sub(skipped) / page * page;
    // SAFETY: whole pages inside `memory`; this advice changes how they are backed, and never what they hold.
    _ = unsafe { madvise(memory.as_ptr().cast_mut().byte_add(skipped).cast(), pages, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_memory_holds_stays() {
        let mut memory = vec![7u8; 3 * HUGE + 5];
        prefer_huge_pages(&memory);
        memory.extend([8; 100]);
        prefer_huge_pages(&memory);
        prefer_huge_pages(&[]);
        assert!(memory[..3 * HUGE + 5].iter().all(|b| *b == 7) && memory.ends_with(&[8; 100]));
    }

    #[test]
    fn bytes_begin_a_page_where_they_should() {
        for (len, first, align) in [(0, 0, 1), (1, 0, BLOCK_ALIGN), (9 * BLOCK_ALIGN, 77, BLOCK_ALIGN), (HUGE, 0, HUGE)]
        {
            let mut pages = Pages::zeroed(len, first);
            assert!(pages.len() == len && pages.iter().all(|b| *b == 0));
            assert_eq!(pages.get(first).map_or(0, |b| std::ptr::from_ref(b).addr() % align), 0, "{len} {first}");
            pages.fill(5);
        }
        let pages = Pages::zeroed(3 * HUGE, HUGE / 2);
        assert_eq!(pages[HUGE / 2..].as_ptr().addr() % HUGE, 0);
        assert!(Pages::default().is_empty());
    }

    /// The system's own word for it, where it has huge pages at all.
    #[test]
    fn the_system_takes_the_wish() {
        let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        if setting.is_empty() {
            return crate::lacks::lacks("huge-pages", "the kernel tells nothing of them in /sys");
        }
        let memory = vec![1u8; 8 * HUGE];
        prefer_huge_pages(&memory);
        let middle = memory[4 * HUGE..].as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let flags = maps.lines().find(|line| {
            if let Some((from, to)) = line.split_once(' ').and_then(|(range, _)| range.split_once('-'))
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&middle);
            }
            inside && line.starts_with("VmFlags:")
        });
        // `hg`: advised to be huge.
        assert!(flags.is_some_and(|flags| flags.contains(" hg")), "{flags:?}");
        assert!(memory.iter().all(|b| *b == 1));
    }
}
