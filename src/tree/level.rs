//! One level of inner nodes under construction, for trees and for lists.

/// Children of the node being built. A node that has ended is held until two more children are there, so that an inner
/// node never has fewer than two: a single one left at the end goes into the held node.
#[derive(Debug)]
pub struct Level<C> {
    open: Vec<C>,
    pending: Option<C>,
}

impl<C> Default for Level<C> {
    fn default() -> Self {
        Level { open: Vec::new(), pending: None }
    }
}

impl<C> Level<C> {
    /// Adds a child; gives the children of a node that is finished by it. `ends` says whether a node ends after these.
    pub fn push(&mut self, child: C, ends: impl Fn(&[C]) -> bool) -> Option<Vec<C>> {
        if let Some(first) = self.pending.take() {
            return Some(std::mem::replace(&mut self.open, vec![first, child]));
        }
        if self.open.len() >= 2 && ends(&self.open) {
            self.pending = Some(child);
        } else {
            self.open.push(child);
        }
        None
    }

    /// The children of the last node.
    pub fn finish(&mut self) -> Vec<C> {
        self.open.extend(self.pending.take());
        std::mem::take(&mut self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_comes_out_once_in_order_and_no_node_has_one_of_several() {
        for total in 1..60 {
            let (mut level, mut nodes) = (Level::default(), vec![]);
            for child in 0..total {
                nodes.extend(level.push(child, |open: &[i32]| open.len() >= 5 || open.last().unwrap() % 3 == 0));
            }
            nodes.push(level.finish());
            assert_eq!(nodes.concat(), (0..total).collect::<Vec<_>>());
            assert!(total == 1 || nodes.iter().all(|n| n.len() >= 2), "{nodes:?}");
        }
    }
}
