//! Times that many series share, stored once.
//!
//! Series that are measured together have the same times. A history of times is a path in a tree: a
//! series holds the node of its last time, and appending is a step to the child with the new time,
//! which the first series of a batch makes and all the others find. So a batch costs one node, not
//! one time a series, and no one has to say which series belong together.
//!
//! There is one tree for each time window; it goes when the window has been sealed.

/// Where a history stands in its tree.
pub(crate) type NodeId = u32;

/// The history without times.
pub(crate) const ROOT: NodeId = 0;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    time: i64,
    parent: NodeId,
    /// The child that was used last.
    child: NodeId,
}

#[derive(Debug, Clone)]
pub(crate) struct TimeTree {
    nodes: Vec<Node>,
    newest: i64,
}

impl Default for TimeTree {
    fn default() -> Self {
        let root = Node { time: i64::MIN, parent: ROOT, child: NONE };
        TimeTree { nodes: vec![root], newest: i64::MIN }
    }
}

impl TimeTree {
    /// The history of `node` and then `time`, which must be later than all of it.
    #[inline]
    pub(crate) fn step(&mut self, node: NodeId, time: i64) -> NodeId {
        let child = self.nodes[node as usize].child;
        if child != NONE && self.nodes[child as usize].time == time {
            return child;
        }
        let new = self.nodes.len() as u32;
        self.nodes.push(Node { time, parent: node, child: NONE });
        self.nodes[node as usize].child = new;
        self.newest = self.newest.max(time);
        new
    }

    /// The newest time of any history.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// The last time of a history; `i64::MIN` for none.
    #[inline]
    pub(crate) fn last(&self, node: NodeId) -> i64 {
        self.nodes[node as usize].time
    }

    /// The times of a history, oldest first; `count` is how many there are.
    pub(crate) fn times(&self, mut node: NodeId, count: usize) -> Vec<i64> {
        let mut times = Vec::with_capacity(count);
        while node != ROOT {
            let Node { time, parent, .. } = self.nodes[node as usize];
            times.push(time);
            node = parent;
        }
        times.reverse();
        times
    }

    /// Whether it has no time.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    pub(crate) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    /// Times and parents of all nodes but the root, for a checkpoint.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (i64, NodeId)> + '_ {
        self.nodes[1..].iter().map(|node| (node.time, node.parent))
    }

    /// Adds a node as [`TimeTree::entries`] told it; `None` if its parent is not there yet or later.
    pub(crate) fn push_entry(&mut self, time: i64, parent: NodeId) -> Option<()> {
        let new = self.nodes.len() as u32;
        let before = self.nodes.get_mut(parent as usize)?;
        if before.time >= time {
            return None;
        }
        before.child = new;
        self.newest = self.newest.max(time);
        self.nodes.push(Node { time, parent, child: NONE });
        Some(())
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        (node as usize) < self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_batch_share_their_nodes_and_others_keep_their_own_times() {
        let mut tree = TimeTree::default();
        let (mut a, mut b, mut c) = (ROOT, ROOT, ROOT);
        for time in [10, 20, 30] {
            a = tree.step(a, time);
            b = tree.step(b, time);
            if time != 20 {
                c = tree.step(c, time);
            }
        }
        assert_eq!(a, b);
        assert_eq!(tree.times(a, 3), [10, 20, 30]);
        assert_eq!(tree.times(c, 2), [10, 30]);
        assert_eq!(tree.last(c), 30);
        assert_eq!(tree.nodes.len(), 5);
    }
}
