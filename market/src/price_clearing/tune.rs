//! tuning (not kept)
use super::*;
use arrays::Arrays;
use ascent::*;
use dual::Dual;
use state::State;

/// tune
pub fn run(problem: &ClearingProblem, cpu: &dyn Fn() -> f64, env: &dyn Fn(&str, f64) -> f64) {
    let t0 = cpu();
    let a = Arrays::new(problem);
    let mut sweep = Sweep::default();
    let mut stream = Stream(1);
    let mut state = State::at_rest(&a);
    println!("arrays {:.3}", cpu() - t0);
    let n = a.offers.len() as f64;
    let mut price: Vec<f64> = vec![0.0; a.limits * a.t];
    for i in 0..problem.bids().len() * a.t { price[i] = 0.7 * a.penalty[i]; }
    let mut ramps = Ramps::default();
    let mut dual = Dual::new(&a, price.clone());
    let parts = env("PARTS", 2.0) as usize;
    let per = env("PER", 1.0) as usize;
    let m = 1e-12;
    let unit = 1e6 * n / 10000.0;
    let v = env("V", 1.0) > 0.0;
    let mut avg = price.clone();
    for r in 0..env("AR", 12.0) as usize {
        ramps.set(&a, &price, env("AW", 1600.0) * unit);
        sweep.smooth(&a, &ramps, &mut state, &mut stream, parts);
        ramps.read(&a, &state.flow, &mut price);
        let share = 2.0 / (2.0 + r as f64);
        for i in 0..avg.len() { avg[i] += share * (price[i] - avg[i]); }
    }
    let t1 = cpu();
    let v1 = dual.offer(&a, &price.clone(), &mut sweep.scratch);
    let v2 = dual.offer(&a, &avg, &mut sweep.scratch);
    println!("A t {:.3} dual {:.4} avg {:.4}", t1 - t0, v1 * m, v2 * m);
    let mut width = env("W0", 400.0) * unit;
    let wend = env("WEND", 1.0) * 1e6;
    while width > wend {
        for _ in 0..per {
            ramps.set(&a, &price, width);
            sweep.smooth(&a, &ramps, &mut state, &mut stream, parts);
            ramps.read(&a, &state.flow, &mut price);
        }
        if v { println!("w {:.3} t {:.3} welfare {:.4}", width * 1e-6, cpu() - t0, state.welfare(&a) * m); }
        width *= env("FAC", 0.8);
    }
    state.round(&a);
    println!("B t {:.3} welfare {:.4}", cpu() - t0, state.welfare(&a) * m);
    for _ in 0..env("EX", 3.0) as usize { sweep.exact(&a, &mut state, &mut stream); }
    let w = state.welfare(&a);
    println!("X t {:.3} welfare {:.4}", cpu() - t0, w * m);
    let mut st = state.clone();
    let mut price = dual.price.clone();
    let mut avg = price.clone();
    let mut width = env("U0", 1600.0) * unit;
    for r in 0..env("UR", 12.0) as usize {
        ramps.set(&a, &price, width);
        sweep.smooth(&a, &ramps, &mut st, &mut stream, parts);
        ramps.read(&a, &st.flow, &mut price);
        let share = 1.0 / (1.0 + r as f64 * env("SH", 0.5));
        for i in 0..avg.len() { avg[i] += share * (price[i] - avg[i]); }
        if r % 4 == 3 {
        let v1 = dual.offer(&a, &price.clone(), &mut sweep.scratch);
        let v2 = dual.offer(&a, &avg, &mut sweep.scratch);
        println!("U w {:.1} t {:.3} dual {:.4} avg {:.4} best {:.4} gap {:.5}", width * 1e-6, cpu() - t0, v1 * m, v2 * m, dual.bound * m, (dual.bound - w) / dual.bound); }
        width *= env("UF", 1.2);
    }
}
