use super::*;
use grid::network::{Compensation, Wire};
use num_complex::Complex64;
use proptest::prelude::*;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;

/// Scripts by name.
struct Scripts(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Scripts {
    fn read(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such file"))
    }
}

fn scripts(files: &[(&str, &str)]) -> Scripts {
    Scripts(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
}

fn study(text: &str) -> Study {
    read(&mut scripts(&[("m.dss", text)]), Path::new("m.dss")).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    read(&mut scripts(&[("m.dss", text)]), Path::new("m.dss")).unwrap_err().to_string()
}

const SMALL: &str = "clear\nnew circuit.c basekv=11 pu=1.02\nnew line.l1 sourcebus b.1.2.3 length=2\n";

#[test]
fn names_abbreviations_positions_and_continuations_mean_the_same() {
    let by_name = study(&format!("{SMALL}new load.a bus1=b phases=3 kv=11 kw=30 pf=0.9"));
    let short = study(&format!("{SMALL}New Load.A\n~ 3 B 11 30 .9 ! kw=99\n"));
    let late = study(&format!("{SMALL}new load.a kv=11\nmore kw=30 pf=.9 bus=b\nload.a.phas=3"));
    assert_eq!(by_name.parts, short.parts);
    assert_eq!(by_name.parts, late.parts);
    let load = &by_name.parts.loads[0];
    assert_eq!(load.p_w, [10_000.0; 3]);
    let q = 10_000.0 * (1.0 / 0.81_f64 - 1.0).sqrt();
    assert!(load.q_var.iter().all(|&each| (each - q).abs() < 1e-9), "{:?}", load.q_var);
    assert!((load.u_branch_v - 11_000.0 / 3.0_f64.sqrt()).abs() < 1e-9);
    assert_eq!(by_name.parts.names[&1], "b");
}

#[test]
fn a_day_is_refused_instead_of_its_loads_taken_at_their_base_values() {
    for mode in ["daily", "yearly", "duty", "dynamic"] {
        for command in ["solve", "set"] {
            let said = refusal(&format!("{SMALL}new load.a bus1=b kv=11\n{command} mode={mode}"));
            let named = said.starts_with("m.dss, line 5: mode ") && said.contains("mode=snapshot");
            assert!(named, "{command} {mode}: {said}");
        }
    }
    study(&format!("{SMALL}set mode=snap\nsolve mode=snapshot"));
}

#[test]
fn every_thing_has_a_name_of_its_own() {
    let study = study(&format!("{SMALL}new load.l1 bus1=b\nnew capacitor.l1 bus1=b kv=11 kvar=100"));
    let names: Vec<&str> = study.parts.names.values().map(String::as_str).collect();
    assert_eq!(names, ["sourcebus", "b", "line.l1", "vsource.source", "capacitor.l1", "load.l1"]);
}

#[test]
fn a_line_takes_its_code_in_its_own_unit_of_length() {
    let text = "new linecode.k nphases=2 units=mi rmatrix=(1 | .5 2) xmatrix=(3 | .25 4) cmatrix=(10 | -2 10)
new line.l phases=2 bus1=sourcebus.3.1 bus2=b.3.1 linecode=k length=1000 units=ft";
    let line = &study(&format!("new circuit.c\n{text}")).parts.coupled_lines[0];
    let miles = 304.8 / 1609.344;
    assert_eq!(line.from.wires, [Wire(3), Wire(1)]);
    assert!((line.z_ohm[1] - Complex64::new(0.5, 0.25) * miles).norm() < 1e-12);
    let b = std::f64::consts::TAU * 60.0 * -2e-9 * miles;
    assert!((line.y_s[2] - Complex64::new(0.0, b)).norm() < 1e-20, "{}", line.y_s[2]);
}

#[test]
fn a_switch_is_a_metre_of_nothing_and_keeps_what_is_said_after_it() {
    let text = "new circuit.c\nnew line.s bus1=sourcebus bus2=b switch=y r1=1e-4 r0=1e-4 x1=0 x0=0 c1=0 c0=0";
    let line = &study(text).parts.coupled_lines[0];
    assert!((line.z_ohm[0] - Complex64::from(1e-7)).norm() < 1e-20, "{}", line.z_ohm[0]);
    assert_eq!(line.y_s[0], Complex64::ZERO);
}

#[test]
fn a_source_by_short_circuit_power_has_the_impedances_that_give_it() {
    let source = &study("new circuit.c basekv=115 mvasc3=20000 mvasc1=21000").parts.sources[0];
    let (r1, x1, r0, x0) = source.z_ohm.unwrap();
    let (z1, z0) = (Complex64::new(r1, x1), Complex64::new(r0, x0));
    let three_mva = 115.0 * 115.0 / z1.norm();
    let single_mva = 3.0 * 115.0 * 115.0 / (z1 * 2.0 + z0).norm();
    assert!((three_mva - 20_000.0).abs() < 1e-6, "{three_mva}");
    assert!((single_mva - 21_000.0).abs() < 1e-6, "{single_mva}");
}

#[test]
fn windings_come_from_a_code_and_from_arrays() {
    let text = "new xfmrcode.ct phases=1 windings=3 kvs=[7.2 .12 .12] kvas=[10 10 10] %imag=0.5 %rs=[.6 1.2 1.2] \
                xhl=2.04 xht=2.04 xlt=1.36
new transformer.t xfmrcode=ct buses=[sourcebus.1 x.1.0 x.0.2]
new transformer.r phases=1 xhl=.01 kvas=[1666 1666] buses=[sourcebus.1 y.1] kvs=[2.4 2.4] %loadloss=.01
~ wdg=2 tap=(0.00625 12 * 1 +) maxtap=1.05
new regcontrol.r transformer=r winding=2 vreg=122 band=2 ptratio=20 ctprim=700 r=3 x=9 maxtapchange=1 delay=30";
    let parts =
        study(&format!("new circuit.c basekv=12.47\n{text}\nset voltagebases=[12.47 .208 4.16]")).parts;
    let [centre, regulator] = &parts.winding_transformers[..] else { panic!() };
    assert_eq!(centre.windings[2].terminal.wires, [Wire::GROUND, Wire(2)]);
    let x = [0.0204, 0.0204, 0.0136];
    assert!(centre.x_pu.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-15), "{:?}", centre.x_pu);
    assert!((centre.windings[1].r_pu - 0.012).abs() < 1e-15);
    assert!((regulator.windings[1].tap_pu - 1.075).abs() < 1e-15);
    assert_eq!(regulator.windings[1].tap_range_pu, (0.9, 1.05));
    assert!((regulator.windings[0].r_pu - 0.00005).abs() < 1e-15);
    let control = &parts.tap_regulators[0];
    assert_eq!((control.u_set_v, control.band_v, control.controlled), (2440.0, 40.0, 1));
    assert_eq!((control.delay_s, control.steps_max), (30.0, 1));
    let dial = Compensation::Dial { r_v: 3.0, x_v: 9.0, ct_a: 700.0, pt_ratio: 20.0 };
    assert_eq!(control.compensation, dial);
    let rated = |name: &str| {
        let id = parts.names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id).unwrap();
        parts.buses[id as usize].u_rated_v
    };
    assert!((rated("x") - 208.0).abs() < 1e-9);
}

#[test]
fn what_is_not_read_is_refused_with_its_line() {
    let text = refusal("new circuit.c\n\nnew pvsystem.p bus1=b");
    assert!(text.contains("m.dss, line 3") && text.contains("pvsystem"), "{text}");
    assert!(refusal("frobnicate").contains("no command"));
    assert!(refusal("new circuit.c\nnew line.l bus3=x").contains("no property \"bus3\""));
    assert!(refusal("new circuit.c\nnew line.l geometry=g").contains("geometry"));
    assert!(refusal("new circuit.c\nopen line.l 1").contains("open"));
    assert!(refusal("new circuit.c\nset colour=red").contains("no option"));
    assert!(refusal("new circuit.c\nnew load.a bus1=sourcebus model=8").contains("model 8"));
    assert!(refusal("new load.a").contains("no circuit"));
    assert!(refusal("~ kv=1").contains("no element"));
    assert!(refusal("new circuit.c\nnew line.a bus1=x bus2=y\nnew line.a").contains("defined twice"));
    assert!(refusal("redirect ../secret.dss").contains("outside"));
    assert!(refusal("redirect m.dss").contains("inside each other"));
    assert!(refusal("new circuit.c\nnew load.a kw=nan bus1=sourcebus").contains("no number"));
    let beyond = "new circuit.c\nnew line.l bus1=sourcebus bus2=b linecode=absent";
    assert!(refusal(beyond).contains("linecode.absent is not defined"));
}

#[test]
fn what_only_shows_and_measures_is_passed_over() {
    let text = "calcv\nsolve mode=snap\nshow voltages\nplot circuit\nnew energymeter.m line.l1 1\n~ option=x\n\
                /* a block\nnew nonsense\n*/\nset maxiterations=20 showexport=yes\nexport powers\nsummary";
    assert_eq!(study(&format!("{SMALL}{text}")).parts, study(SMALL).parts);
}

#[test]
fn files_are_read_from_the_folder_of_the_script_that_names_them() {
    let files = [
        ("m.dss", "new circuit.c\nredirect sub\\lines.dss\nbuscoords xy.csv\nset controlmode=off"),
        ("sub/lines.dss", "new loadshape.s npts=2 minterval=15 mult=(file=data/s.txt)\nredirect load.dss"),
        ("sub/load.dss", "new line.l bus1=sourcebus bus2=b\nnew load.a bus1=b yearly=s"),
        ("sub/data/s.txt", " 0.5\n0.25 \n9\n"),
        ("xy.csv", "b, 3, 4\nelsewhere, 1, 2\nname,x,y\n"),
    ];
    let study = read(&mut scripts(&files), Path::new("m.dss")).unwrap();
    assert_eq!(study.shapes[1].multipliers, [0.5, 0.25]);
    assert_eq!(study.shapes[1].interval_s, 900.0);
    let load = study.parts.loads[0].id;
    assert_eq!(study.shape_of_load[&load], [None, Some(1), None]);
    assert_eq!(study.parts.buses[1].position_m, Some((3.0, 4.0)));
    assert!(!study.controls);
    assert!(study.network().is_ok());
}

#[test]
fn like_takes_everything_but_the_place() {
    let text = format!("{SMALL}new load.a bus1=b kw=7 model=5\nnew load.b like=a bus1=sourcebus kw=8");
    let loads = study(&text).parts.loads;
    assert_eq!(loads[0].dependence, loads[1].dependence);
    assert_eq!((loads[1].terminal.bus.0, loads[1].p_w[0]), (0, 8000.0 / 3.0));
    assert!(refusal(&format!("{SMALL}new load.a bus1=b\nnew load.b like=a")).contains("no bus"));
}

#[test]
fn a_switched_off_element_is_not_there() {
    let text = format!("{SMALL}new load.a bus1=b\nnew load.b bus1=b enabled=no\ndisable load.a");
    assert!(study(&text).parts.loads.is_empty());
    assert_eq!(study(&format!("{text}\nenable load.b")).parts.loads.len(), 1);
}

proptest! {
    #[test]
    fn no_script_makes_the_reader_panic(
        lines in proptest::collection::vec(
            prop_oneof![
                "\\PC{0,40}",
                "new (circuit|line|load|transformer|linecode|capacitor)\\.[ab] [a-z0-9=. ()|%]{0,40}",
                "(~|edit line\\.a|set|load\\.a\\.kw=) ?[a-z0-9=. ()|%]{0,40}",
            ],
            0..12,
        )
    ) {
        let text = format!("new circuit.c\n{}", lines.join("\n"));
        if let Ok(study) = read(&mut scripts(&[("m.dss", &text)]), Path::new("m.dss")) {
            let _ = study.network();
        }
    }
}

#[test]
fn a_model_of_a_collection_reads_what_lies_beside_its_folder_when_that_is_allowed() {
    let collection = tempfile::tempdir().unwrap();
    let model = collection.path().join("13Bus");
    std::fs::create_dir(&model).unwrap();
    std::fs::write(collection.path().join("Shared.dss"), "new line.l1 sourcebus b.1.2.3 length=2\n").unwrap();
    let master = model.join("m.dss");
    std::fs::write(&master, "clear\nnew circuit.c basekv=11\nredirect ..\\shared.dss\n").unwrap();
    let alone = read_path(&master).unwrap_err().to_string();
    assert!(alone.contains("line 3") && alone.contains("--dss-root"), "{alone}");
    let study = read_path_below(collection.path(), &master).unwrap();
    assert_eq!(study.parts.lines.len() + study.parts.coupled_lines.len(), 1);
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = read_path_below(elsewhere.path(), &master).unwrap_err().to_string();
    assert!(outside.contains("does not lie below"), "{outside}");
    assert!(read_path_below(&collection.path().join("absent"), &master).is_err());
}
