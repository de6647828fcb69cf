use market::price_clearing::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let s = std::fs::read_to_string(&args[1]).unwrap();
    let mut it = s.split_ascii_whitespace().map(|x| x.parse::<f64>().unwrap());
    let mut f = || it.next().unwrap();
    let q = |x: f64| (x * 1e6).round() as i64;
    let (n, t, g, bpl, pen) = (f() as usize, f() as usize, f() as usize, f() as usize, f());
    let nb = g * bpl;
    let mut p = ClearingProblem::new(t, nb, Pricing::PayAsBid).unwrap();
    let mut m = |c: usize| (0..c).map(|_| (0..t).map(|_| q(f())).collect::<Vec<i64>>()).collect::<Vec<_>>();
    let (d, pr, h) = (m(g), m(g), m(nb + 1));
    for i in 0..g {
        p.add_bid(NeedBid {
            nodes: (0..bpl).map(|k| (i * bpl + k) as u32).collect(),
            asked: d[i].clone(),
            price: pr[i].clone(),
        })
        .unwrap();
    }
    for b in 0..nb {
        p.add_row(GridRow {
            headroom: h[b].clone(),
            penalty: q(pen),
            sensitivities: (b..(b / bpl + 1) * bpl).map(|x| (x as u32, 1_000_000)).collect(),
        })
        .unwrap();
    }
    p.add_row(GridRow {
        headroom: h[nb].clone(),
        penalty: q(pen),
        sensitivities: (0..nb).map(|x| (x as u32, 1_000_000)).collect(),
    })
    .unwrap();
    for _ in 0..n {
        let (k, b, s0, len) = (f() as usize, f() as u32, f() as u16, f() as usize);
        let mut o =
            OfferTerms { node: b, start_default: s0, start_first: s0, start_last: s0, ..Default::default() };
        match k {
            0 => {
                let (tl, tu, c) = (q(f()), q(f()), q(f()));
                o.default = vec![0; len];
                o.lower = (0..len).map(|_| q(f())).collect();
                o.upper = (0..len).map(|_| q(f())).collect();
                o.total_lower = tl;
                o.total_upper = tu;
                o.price_up = c;
                o.price_down = c;
            }
            1 => {
                o.start_first = f() as u16;
                o.start_last = f() as u16;
                o.activation = q(f());
                o.per_interval_shifted = q(f());
                o.default = (0..len).map(|_| q(f())).collect();
                o.lower = o.default.clone();
                o.upper = o.default.clone();
                o.total_lower = i64::MIN / 4;
                o.total_upper = i64::MAX / 4;
            }
            _ => {
                o.activation = q(f());
                o.default = vec![0; len];
                o.lower = vec![0; len];
                o.upper = vec![0; len];
                o.option = Some(ActivationOption {
                    deviation: (0..len).map(|_| q(f())).collect(),
                    factor_min: 1_000_000,
                });
            }
        }
        p.add_offer(&o).unwrap();
    }
    let cpu = || {
        let s = std::fs::read_to_string("/proc/self/schedstat").unwrap();
        s.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9
    };
    let env = |k: &str, d: f64| std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
    let t0 = cpu();
    let session = Session::new(p.clone());
    let t1 = cpu();
    let r = session.clearing();
    let t2 = cpu();
    println!("proved {:?} gap {:.6}", r.proved.map(|x| x.as_f64()), r.proved_gap());
    println!(
        "n {n} solve {:.3} report {:.3} welfare {:.4} bound {:.4} gap {:.5} plans {}",
        t1 - t0,
        t2 - t1,
        r.welfare.as_f64(),
        r.bound.as_f64(),
        r.gap(),
        r.plans.len()
    );
}
