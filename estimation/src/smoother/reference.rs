//! How well angles are known from each other. An estimate without phasors is turned until the root's first wire has the
//! reference angle θ₀; what is said of another angle is then θ − θ₀, whose variance is
//! `var θ − 2 cov(θ, θ₀) + var θ₀`. The covariance of every voltage with θ₀ is the response to evidence at the root along
//! the gradient of θ₀: one walk down with nothing changed below.

use super::closure::Closure;
use super::core::Core;
use super::dense::{self, Arithmetic, HALF, LANES, Vector};
use super::lines::NONE;
use super::live::pass_rows;
use super::posterior::Variances;
use super::precision::Up;

/// Responses to the angle of the root's first wire, by level: of the voltage and of the gradient by the current.
pub(super) struct Reference {
    open: Vec<(Vector, Vector)>,
    /// The same of the tree alone, along the ways to ties.
    bare: Vec<(Vector, Vector)>,
    variance: f64,
}

/// The gradient of the angle of the root's first wire.
pub(super) fn along<const N: usize>(core: &Core<N>) -> Vector {
    let mut along = [0.0; LANES];
    let (x, y) = (core.v[0][0], core.v[0][HALF]);
    let square = x * x + y * y;
    (along[0], along[HALF]) = (-y / square, x / square);
    along
}

impl Reference {
    pub fn new<const N: usize>(core: &Core<N>, closure: Option<&Closure<N>>) -> Self {
        let along = along(core);
        let v = dense::times(dense::Plain, &core.root, &along);
        let mut mu = [0.0; LANES];
        pass_rows(core, 0, &v, &mut mu, &|_, _| 0.0);
        let mut open = vec![([0.0; LANES], [0.0; LANES]); core.levels + 1];
        open[0] = (v, mu);
        let mut bare = Vec::new();
        if let Some(closure) = closure {
            bare.clone_from(&open);
            open[0] = closure.with_loops(0, &bare[0]);
        }
        let variance = dense::dot(&along, &open[0].0);
        Self { open, bare, variance }
    }

    /// To a position from its parent.
    #[inline(always)]
    pub fn cross<K: Arithmetic, const N: usize>(
        &mut self,
        kit: K,
        core: &Core<N>,
        i: usize,
        on_way: Option<(&Closure<N>, usize)>,
    ) {
        let (line, factors, place) = (&core.lines.line[i], &core.double, &core.place[i]);
        let level = place.level as usize;
        let (outer, mut gradient) =
            if on_way.is_some() { self.bare[level - 1] } else { self.open[level - 1] };
        if place.site != NONE && core.sites[place.site as usize].above != NONE {
            let cut = core.sites[place.site as usize].above as usize;
            core.cuts[cut].descend::<f64>(&outer, &mut gradient, |_| 0.0);
        }
        let (u, omega) = (factors.t(kit, line, &outer), factors.t(kit, line, &gradient));
        let change = factors.descend(kit, &factors.edges[i], line, &Up::NOTHING, (&u, &omega));
        let v = dense::sub(kit, &u, &factors.z(kit, line, &change.a));
        let mut mu = dense::sub(kit, &omega, &factors.zt(kit, line, &change.e));
        pass_rows(core, i, &v, &mut mu, &|_, _| 0.0);
        self.open[level] = (v, mu);
        if let Some((closure, number)) = on_way {
            self.bare[level] = (v, mu);
            self.open[level] = closure.with_loops(number, &(v, mu));
        }
    }

    /// Writes the variances of a position's angles; those of its voltages are there.
    pub fn write<const N: usize>(&self, core: &Core<N>, i: usize, out: &mut Variances) {
        let (w, h) = (N / 2, HALF);
        let (v, moved) = (&core.v[i], &self.open[core.place[i].level as usize].0);
        for k in 0..w {
            let square = v[k] * v[k] + v[k + h] * v[k + h];
            let own = (out.phasor[i * w + k] - out.magnitude[i * w + k]) / square;
            let together = (v[k] * moved[k + h] - v[k + h] * moved[k]) / square;
            out.turned[i * w + k] = (own - 2.0 * together + self.variance).max(0.0);
        }
    }
}
