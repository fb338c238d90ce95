//! Merkle trees as RFC 9162, section 2.1, has them: one hash that stands for a list of frames, and a short proof that a
//! frame is in the list, without showing the others.

use journal::{Hash, frame::sha256};

/// The hash of the whole list. An empty list has the hash of nothing.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => leaf(one),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from the leaf at `index` to the root, nearest first.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut below, beside) = if index < left.len() {
        (path(left, index), root(right))
    } else {
        (path(right, index - left.len()), root(left))
    };
    below.push(beside);
    below
}

/// The root that follows from a leaf, its place among `size` leaves, and its path; `None` where these do not fit.
#[must_use]
pub fn climb(frame: &Hash, index: usize, size: usize, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    if size == 1 {
        return path.is_empty().then(|| leaf(frame));
    }
    let (beside, below) = path.split_last()?;
    let left = split(size);
    if index < left {
        Some(node(&climb(frame, index, left, below)?, beside))
    } else {
        Some(node(beside, &climb(frame, index - left, size - left, below)?))
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

fn leaf(frame: &Hash) -> Hash {
    sha256(&[&[0], frame.as_slice()].concat())
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left.as_slice(), right].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_tree_is_the_one_of_the_rfc() {
        let [a, b, c] = [[1; 32], [2; 32], [3; 32]];
        assert_eq!(root(&[]), sha256(b""));
        assert_eq!(root(&[a]), sha256(&[&[0][..], &a].concat()));
        let expected = node(&node(&leaf(&a), &leaf(&b)), &leaf(&c));
        assert_eq!(root(&[a, b, c]), expected);
        assert_eq!(path(&[a, b, c], 0), [leaf(&b), leaf(&c)]);
        assert_eq!(path(&[a, b, c], 2), [node(&leaf(&a), &leaf(&b))]);
    }

    proptest! {
        #[test]
        fn every_leaf_proves_itself_and_nothing_else(leaves in prop::collection::vec(any::<[u8; 32]>(), 1..70), at: prop::sample::Index) {
            let (size, root) = (leaves.len(), root(&leaves));
            let index = at.index(size);
            let path = path(&leaves, index);
            prop_assert_eq!(climb(&leaves[index], index, size, &path), Some(root));
            let mut other = leaves[index];
            other[0] ^= 1;
            prop_assert_ne!(climb(&other, index, size, &path), Some(root));
            prop_assert_ne!(climb(&leaves[index], index + 1, size, &path), Some(root));
            prop_assert_eq!(climb(&leaves[index], size, size, &path), None);
            if let Some((_, shorter)) = path.split_last() {
                prop_assert_ne!(climb(&leaves[index], index, size, shorter), Some(root));
            }
        }
    }
}
