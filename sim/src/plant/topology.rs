//! Which homes hang on which branch of a radial network.

use grid::Network;

/// Service cables are rated at most this, A; main cables more.
const SERVICE_A: f64 = 110.0;

/// For each branch (lines, then transformers, in the network's order): the number of usage points that are fed
/// through it. Branches that close a loop carry none.
pub(crate) fn homes_behind(network: &Network) -> Vec<usize> {
    let tree = tree(network);
    let mut homes_at = vec![0; network.buses().len()];
    for point in network.usage_points() {
        homes_at[network.bus_index(point.bus).unwrap_or_default()] += 1;
    }
    let mut behind = vec![0; network.lines().len() + network.transformers().len()];
    for &(bus, above) in tree.iter().rev() {
        if let Some((parent, branch)) = above {
            behind[branch] = homes_at[bus];
            homes_at[parent] += homes_at[bus];
        }
    }
    behind
}

/// For each usage point, the number of its service: usage points behind one service cable have the same.
pub(crate) fn shared_services(network: &Network) -> Vec<usize> {
    // The bus where the service of a bus leaves the main.
    let mut tap: Vec<usize> = (0..network.buses().len()).collect();
    for (bus, above) in tree(network) {
        if let Some((parent, branch)) = above
            && let Some(line) = network.lines().get(branch)
            && line.i_rated_a.is_some_and(|rated| rated <= SERVICE_A)
        {
            let parent_in_service = tap[parent] != parent;
            tap[bus] = if parent_in_service { tap[parent] } else { network.buses().len() + branch };
        }
    }
    network.usage_points().iter().map(|point| tap[network.bus_index(point.bus).unwrap_or_default()]).collect()
}

/// Each bus with its parent and the branch between them, parents first.
pub(crate) fn tree(network: &Network) -> Vec<(usize, Option<(usize, usize)>)> {
    let index = |bus| network.bus_index(bus).unwrap_or_default();
    let ends: Vec<(usize, usize)> = (network.lines().iter().map(|l| (index(l.from), index(l.to))))
        .chain(network.transformers().iter().map(|t| (index(t.from), index(t.to))))
        .collect();
    let mut neighbours: Vec<Vec<(usize, usize)>> = vec![Vec::new(); network.buses().len()];
    for (branch, &(from, to)) in ends.iter().enumerate() {
        neighbours[from].push((to, branch));
        neighbours[to].push((from, branch));
    }
    let mut order: Vec<usize> = network.sources().iter().map(|source| index(source.bus)).collect();
    let mut above: Vec<Option<(usize, usize)>> = vec![None; neighbours.len()];
    let mut seen = vec![false; neighbours.len()];
    order.iter().for_each(|&bus| seen[bus] = true);
    let mut next = 0;
    while let Some(&bus) = order.get(next) {
        next += 1;
        for &(neighbour, branch) in &neighbours[bus] {
            if !std::mem::replace(&mut seen[neighbour], true) {
                above[neighbour] = Some((bus, branch));
                order.push(neighbour);
            }
        }
    }
    order.into_iter().map(|bus| (bus, above[bus])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn the_head_section_and_the_transformer_carry_everyone() {
        let network = crate::plant::network(&Scenario::first_light().unwrap()).unwrap();
        let behind = homes_behind(&network);
        assert_eq!((behind[0], behind[905]), (55, 55));
        assert_eq!(behind.iter().filter(|&&homes| homes == 0).count(), 7 + 18 + 26 + 21 + 78 + 19 + 36);
    }

    #[test]
    fn a_service_is_shared_by_the_homes_behind_one_service_cable() {
        let network = crate::plant::network(&Scenario::first_light().unwrap()).unwrap();
        let services = shared_services(&network);
        let most = services.iter().map(|s| services.iter().filter(|other| *other == s).count()).max();
        assert_eq!(most, Some(3));
        let mut different = services.clone();
        different.sort_unstable();
        different.dedup();
        assert!((30..55).contains(&different.len()), "{}", different.len());
    }
}
