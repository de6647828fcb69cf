//! What a load takes beyond what it took at the standing, for eight wires or eight sets at once; see [`super::standing`].

use super::dense::Arithmetic;
use super::precision::Lanes;

/// Eight complex numbers: real and imaginary parts.
pub(super) type Complexes = (Lanes<f32>, Lanes<f32>);

/// Loads at the standing, see [`super::standing::StandingLoad`].
pub(super) struct Loads {
    pub v: Complexes,
    pub w: Complexes,
    pub c: Complexes,
    /// Of active and reactive power.
    pub variance: Complexes,
}

/// By how much voltage, gradient by the current and values differ from the standing.
pub(super) struct Moved<'a> {
    pub v: &'a Complexes,
    pub mu: &'a Complexes,
    pub values: &'a Complexes,
}

/// The conjugate of the current's deviation, and the negative conjugate of the pull's.
#[inline(always)]
pub(super) fn sources<K: Arithmetic>(kit: K, at: &Loads, moved: &Moved) -> (Complexes, Complexes) {
    let now = (kit.add8(at.v.0, moved.v.0), kit.add8(at.v.1, moved.v.1));
    let scale = kit.div8(kit.splat8(1.0), kit.fma8(now.0, now.0, kit.mul8(now.1, now.1)));
    let inverse = (kit.mul8(now.0, scale), kit.fnma8(now.1, scale, kit.splat8(0.0)));
    let dw = product(kit, &less_product(kit, &at.w, moved.v, moved.mu), &inverse);
    let ds = (kit.fma8(at.variance.0, dw.0, moved.values.0), kit.fnma8(at.variance.1, dw.1, moved.values.1));
    let dc = product(kit, &less_product(kit, &at.c, moved.v, &ds), &inverse);
    let all = (kit.add8(at.c.0, dc.0), kit.add8(at.c.1, dc.1));
    let (p, q) = (product(kit, &all, &dw), product(kit, &dc, &at.w));
    (dc, (kit.add8(p.0, q.0), kit.add8(p.1, q.1)))
}

#[inline(always)]
fn product<K: Arithmetic>(kit: K, x: &Complexes, y: &Complexes) -> Complexes {
    (kit.fnma8(x.1, y.1, kit.mul8(x.0, y.0)), kit.fma8(x.0, y.1, kit.mul8(x.1, y.0)))
}

/// z − x y
#[inline(always)]
fn less_product<K: Arithmetic>(kit: K, x: &Complexes, y: &Complexes, z: &Complexes) -> Complexes {
    (kit.fma8(x.1, y.1, kit.fnma8(x.0, y.0, z.0)), kit.fnma8(x.1, y.0, kit.fnma8(x.0, y.1, z.1)))
}
