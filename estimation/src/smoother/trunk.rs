//! The trunk of a tree and its twigs.
//!
//! A twig is a part of the tree that hangs on one bus, its foot, without a transformer between and without anything
//! below that is measured of a voltage. Factors decide how many passes deviations take, never where they end
//! ([`super::standing`]), so those of a twig may be rough. Loads and meters respond wire by wire; only impedances between
//! wires mix them, and what they mix of a line's A and S is of second order in the drop of voltage along the twig. Left away
//! where it is little, a twig's matrices are a few numbers per wire and only the trunk has lines with full ones. In networks with voltmeters at every
//! twentieth bus three of four lines are in twigs.

use super::core::Core;
use super::dense::{self, Arithmetic, HALF, LANES, Matrix};
use super::lines::NONE;
use super::precision::{Edge, Lanes};
use super::stops::Stop;

/// How what flows in a twig's line responds to a voltage x and a gradient, wire by wire:
/// `A x = own x + cross x'` with x' the real part for the imaginary one and the other way round.
#[repr(C, align(32))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Response {
    own: Lanes<f32>,
    cross: Lanes<f32>,
    /// Of A'.
    cross_transposed: Lanes<f32>,
    /// Of S.
    noise: Lanes<f32>,
    noise_cross: Lanes<f32>,
}

impl<const N: usize> Edge<f32, N> {
    /// The largest entry of A or S between wires, as a share of the largest within one.
    fn mixed(&self) -> f32 {
        let w = N / 2;
        let mut most = 0.0_f32;
        for m in [&self.a, &self.s] {
            let (mut within, mut between) = (f32::MIN_POSITIVE, 0.0_f32);
            for (c, column) in m.iter().enumerate() {
                for row in 0..N {
                    let x = column[dense::lane::<N>(row)].abs();
                    let part = if row % w == c % w { &mut within } else { &mut between };
                    *part = part.max(x);
                }
            }
            most = most.max(between / within);
        }
        most
    }

    /// What of A and S stays within a wire.
    fn per_wire(&self) -> Response {
        let none = [0.0; LANES];
        let mut wires =
            Response { own: none, cross: none, cross_transposed: none, noise: none, noise_cross: none };
        let w = N / 2;
        for k in 0..w {
            for (lane, own, other) in [(k, k, k + w), (k + HALF, k + w, k)] {
                wires.own[lane] = self.a[own][lane];
                wires.cross[lane] = self.a[other][lane];
                wires.cross_transposed[lane] = self.a[own][(lane + HALF) % LANES];
                wires.noise[lane] = self.s[own][lane];
                wires.noise_cross[lane] = self.s[other][lane];
            }
        }
        wires
    }
}

impl Response {
    /// A x + S μ
    #[inline(always)]
    pub fn current<K: Arithmetic>(&self, kit: K, (x, mu): (&Lanes<f32>, &Lanes<f32>)) -> Lanes<f32> {
        // In two chains: neither waits for the other.
        let answer = kit.fma8(self.cross, kit.swap8(*x), kit.mul8(self.own, *x));
        let noise = kit.fma8(self.noise_cross, kit.swap8(*mu), kit.mul8(self.noise, *mu));
        kit.add8(answer, noise)
    }

    /// Asks the memory for all of it.
    #[inline(always)]
    pub fn fetch<K: Arithmetic>(&self, kit: K) {
        kit.fetch(&self.own);
        kit.fetch(&self.cross_transposed);
        kit.fetch(&self.noise_cross);
    }

    /// A' μ
    #[inline(always)]
    pub fn pull<K: Arithmetic>(&self, kit: K, mu: &Lanes<f32>) -> Lanes<f32> {
        kit.fma8(self.cross_transposed, kit.swap8(*mu), kit.mul8(self.own, *mu))
    }

    /// A's row of a wire's real or imaginary part (lane): factors of the same part and of the other.
    #[inline(always)]
    pub fn row(&self, lane: usize) -> [f32; 2] {
        [self.own[lane], self.cross[lane]]
    }

    /// The same of A'.
    #[inline(always)]
    pub fn transposed_row(&self, lane: usize) -> [f32; 2] {
        [self.own[lane], self.cross_transposed[lane]]
    }

    /// The same of S.
    #[inline(always)]
    pub fn noise_row(&self, lane: usize) -> [f32; 2] {
        [self.noise[lane], self.noise_cross[lane]]
    }
}

/// Which line is above a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Above {
    /// One of the trunk, by its number there.
    Trunk(u32),
    /// One of a twig.
    Twig,
    /// The last one of a twig, so short that what flows in it does not depend on its drop of voltage.
    Short,
}

/// A drop of voltage, p.u., that changes what is taken behind it by so little that factors need not know.
const SHORT_PU: f64 = 5e-3;

/// How much of A and S may lie between wires for it to be left away: more takes more passes.
const MIXED: f32 = 0.1;

/// Which lines are in the trunk.
pub(super) fn trunk<const N: usize>(core: &Core<N>) -> Vec<Above> {
    let count = core.count();
    let mut trunk = vec![false; count];
    for i in (0..count).rev() {
        let line = &core.lines.line[i];
        let whole = line.evidence != NONE || line.ratio != NONE || core.single.edges[i].mixed() > MIXED;
        trunk[i] |= i == 0 || whole;
        if trunk[i] && i > 0 {
            trunk[line.parent as usize] = true;
        }
    }
    let mut next = 0;
    (0..count)
        .map(|i| {
            if trunk[i] {
                next += 1;
                return Above::Trunk(next - 1);
            }
            let last = core.lines.line.get(i + 1).is_none_or(|next| next.parent as usize != i);
            if last && drop_share(core, i) < SHORT_PU { Above::Short } else { Above::Twig }
        })
        .collect()
}

/// A and S of the trunk's lines, in their order.
pub(super) fn edges<const N: usize>(core: &Core<N>, stops: &[Stop]) -> Vec<Edge<f32, N>> {
    let all = core.single.edges.iter().zip(stops);
    all.filter(|(_, stop)| matches!(stop.above, Above::Trunk(_))).map(|(edge, _)| *edge).collect()
}

/// How much of a change of what flows in a line changes it again, by the voltage it takes.
fn drop_share<const N: usize>(core: &Core<N>, i: usize) -> f64 {
    let line = &core.lines.line[i];
    let largest = |m: &Matrix<N>| m.iter().flatten().fold(0.0_f64, |most, x| most.max(x.abs()));
    let z = if line.full == NONE {
        line.z.iter().map(|x| x.abs()).sum()
    } else {
        largest(&core.lines.full[line.full as usize])
    };
    largest(&core.double.edges[i].a) * z
}

/// Responses of lines in twigs, by position; those of the trunk mean nothing.
pub(super) fn responses<const N: usize>(core: &Core<N>) -> Vec<Response> {
    core.single.edges.iter().map(Edge::per_wire).collect()
}
