//! What a load takes beyond what it took at the standing, for eight wires or eight sets at once; see [`super::standing`].

use super::dense::Arithmetic;
use super::precision::Lanes;

/// Eight complex numbers: real and imaginary parts.
pub(super) type Complexes = (Lanes<f32>, Lanes<f32>);

/// Loads at the standing, see [`super::standing::StandingLoad`].
#[derive(Clone, Copy)]
pub(super) struct Loads {
    pub v: Complexes,
    pub w: Complexes,
    pub c: Complexes,
    /// Of active and reactive power.
    pub variance: Complexes,
}

/// By how much voltage, gradient by the current and values differ from the standing.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub v: Complexes,
    pub mu: Complexes,
    pub values: Complexes,
}

const NONE: Complexes = ([0.0; 8], [0.0; 8]);
/// Room for loads.
pub(super) const NO_LOADS: Loads = Loads { v: NONE, w: NONE, c: NONE, variance: NONE };
/// Room for how they moved.
pub(super) const NOT_MOVED: Moved = Moved { v: NONE, mu: NONE, values: NONE };

/// The conjugates of currents' deviations, and the negative conjugates of the pulls'. Every step of all of them before the
/// next: each alone is one long chain.
#[inline(always)]
pub(super) fn sources<K: Arithmetic, const W: usize>(
    kit: K,
    at: &[Loads; W],
    moved: &[Moved; W],
) -> [(Complexes, Complexes); W] {
    let (mut now, mut scale, mut inverse) = ([NONE; W], [[0.0; 8]; W], [NONE; W]);
    let (mut dw, mut ds) = ([NONE; W], [NONE; W]);
    for k in 0..W {
        now[k] = (kit.add8(at[k].v.0, moved[k].v.0), kit.add8(at[k].v.1, moved[k].v.1));
        let square = kit.fma8(now[k].0, now[k].0, kit.mul8(now[k].1, now[k].1));
        scale[k] = kit.div8(kit.splat8(1.0), square);
    }
    for k in 0..W {
        dw[k] = less_product(kit, &at[k].w, &moved[k].v, &moved[k].mu);
    }
    for k in 0..W {
        inverse[k] = (kit.mul8(now[k].0, scale[k]), kit.fnma8(now[k].1, scale[k], kit.splat8(0.0)));
    }
    for k in 0..W {
        dw[k] = product(kit, &dw[k], &inverse[k]);
    }
    for k in 0..W {
        let (variance, values) = (&at[k].variance, &moved[k].values);
        ds[k] = (kit.fma8(variance.0, dw[k].0, values.0), kit.fnma8(variance.1, dw[k].1, values.1));
        ds[k] = less_product(kit, &at[k].c, &moved[k].v, &ds[k]);
    }
    for k in 0..W {
        ds[k] = product(kit, &ds[k], &inverse[k]);
    }
    let mut out = [(NONE, NONE); W];
    for k in 0..W {
        let (dc, dw, c) = (&ds[k], &dw[k], &at[k].c);
        let all = (kit.add8(c.0, dc.0), kit.add8(c.1, dc.1));
        let (p, q) = (product(kit, &all, dw), product(kit, dc, &at[k].w));
        out[k] = (*dc, (kit.add8(p.0, q.0), kit.add8(p.1, q.1)));
    }
    out
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
