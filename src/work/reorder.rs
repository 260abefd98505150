//! A small ring that restores order: it holds numbered items until it is their turn.

use std::collections::VecDeque;

/// Holds items until all before them have come. Its size is bounded by how many numbers are in flight.
#[derive(Debug)]
pub struct Reorder<T> {
    next: u64,
    waiting: VecDeque<Option<T>>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Reorder { next: 0, waiting: VecDeque::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes item number `seq`; each number comes once.
    pub fn push(&mut self, seq: u64, item: T) {
        debug_assert!(seq >= self.next, "number {seq} came twice");
        let at = (seq - self.next) as usize;
        if self.waiting.len() <= at {
            self.waiting.resize_with(at + 1, || None);
        }
        self.waiting[at] = Some(item);
    }

    /// The next item in order, if it has come.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.next += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_order_items_come_in_they_leave_in_order(order in Just((0..50u64).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut ring, mut out) = (Reorder::default(), vec![]);
            for seq in order {
                ring.push(seq, seq);
                while let Some(item) = ring.pop() {
                    out.push(item);
                }
            }
            prop_assert_eq!(out, (0..50).collect::<Vec<_>>());
        }
    }
}
