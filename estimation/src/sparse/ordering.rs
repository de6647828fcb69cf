//! In which order to eliminate: minimum degree on the graph of blocks (Tinney & Walker 1967, scheme 2; George & Liu
//! 1989), with the structure of every elimination as a by-product.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The elimination of every block of a graph.
pub(super) struct Elimination {
    /// Position → block.
    pub(super) order: Vec<u32>,
    /// Block → blocks it is coupled with when it is eliminated, all of them later in the order.
    pub(super) coupled: Vec<Vec<u32>>,
}

/// Eliminates the block with the smallest weight of neighbours first; equal ones by number.
/// `neighbours` is symmetric and without loops; `weight` is the number of unknowns of each block.
pub(super) fn minimum_degree(mut neighbours: Vec<Vec<u32>>, weight: &[u32]) -> Elimination {
    let count = neighbours.len();
    let mut degree: Vec<u64> =
        neighbours.iter().map(|list| list.iter().map(|&b| u64::from(weight[b as usize])).sum()).collect();
    let mut queue: BinaryHeap<Reverse<(u64, u32)>> =
        degree.iter().enumerate().map(|(block, &degree)| Reverse((degree, block as u32))).collect();
    let mut gone = vec![false; count];
    let mut mark = vec![u32::MAX; count];
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse((at, block))) = queue.pop() {
        if gone[block as usize] || at != degree[block as usize] {
            continue;
        }
        gone[block as usize] = true;
        order.push(block);
        let mut around = std::mem::take(&mut neighbours[block as usize]);
        around.retain(|&b| !gone[b as usize]);
        for &other in &around {
            let list = &mut neighbours[other as usize];
            let mut now = degree[other as usize] - u64::from(weight[block as usize]);
            if around.len() > 1 {
                list.retain(|&b| !gone[b as usize]);
                for &b in list.iter() {
                    mark[b as usize] = other;
                }
                mark[other as usize] = other;
                for &b in &around {
                    if mark[b as usize] != other {
                        list.push(b);
                        now += u64::from(weight[b as usize]);
                    }
                }
                for &b in list.iter() {
                    mark[b as usize] = u32::MAX;
                }
                mark[other as usize] = u32::MAX;
            }
            degree[other as usize] = now;
            queue.push(Reverse((now, other)));
        }
        neighbours[block as usize] = around;
    }
    Elimination { order, coupled: neighbours }
}

#[cfg(test)]
mod tests {
    use super::minimum_degree;

    #[test]
    fn a_star_is_eliminated_from_its_leaves() {
        let mut neighbours = vec![vec![1, 2, 3, 4]];
        neighbours.extend((0..4).map(|_| vec![0]));
        let found = minimum_degree(neighbours, &[1; 5]);
        assert!(found.order[..3].iter().all(|&block| block != 0), "{:?}", found.order);
        assert_eq!(found.coupled.iter().map(Vec::len).sum::<usize>(), 4);
    }

    #[test]
    fn a_ring_gets_one_chord_less_than_it_has_corners() {
        let ring: Vec<Vec<u32>> = (0..6).map(|b: u32| vec![(b + 1) % 6, (b + 5) % 6]).collect();
        let found = minimum_degree(ring, &[1; 6]);
        // 6 edges and n - 3 fill-ins.
        assert_eq!(found.coupled.iter().map(Vec::len).sum::<usize>(), 9);
    }
}
