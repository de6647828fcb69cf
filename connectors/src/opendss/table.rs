//! Commands and options of the engine, in its order (abbreviations are resolved along it), and what becomes of each.

/// What a command does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    New,
    Edit,
    More,
    Set,
    Redirect,
    Compile,
    Clear,
    BusCoordinates,
    BatchEdit,
    Solve,
    Enable(bool),
    /// Shows, measures or prepares something; the circuit stays as it is.
    Ignored,
    /// May change the circuit.
    Refused,
}

use Command::{BatchEdit, BusCoordinates, Clear, Compile, Edit, Enable, Ignored, More, New, Redirect, Refused, Set, Solve};

pub(super) const COMMANDS: [(&str, Command); 105] = [
    ("new", New), ("edit", Edit), ("more", More), ("m", More), ("~", More), ("select", Refused), ("save", Ignored),
    ("show", Ignored), ("solve", Solve), ("enable", Enable(true)), ("disable", Enable(false)), ("plot", Ignored),
    ("reset", Ignored), ("compile", Compile), ("set", Set), ("dump", Ignored), ("open", Refused), ("close", Refused),
    ("redirect", Redirect), ("help", Ignored), ("quit", Refused), ("?", Ignored), ("next", Refused),
    ("panel", Ignored), ("sample", Ignored), ("clear", Clear), ("about", Ignored), ("calcvoltagebases", Ignored),
    ("setkvbase", Ignored), ("buildy", Ignored), ("get", Ignored), ("init", Ignored), ("export", Ignored),
    ("fileedit", Ignored), ("voltages", Ignored), ("currents", Ignored), ("powers", Ignored), ("seqvoltages", Ignored),
    ("seqcurrents", Ignored), ("seqpowers", Ignored), ("losses", Ignored), ("phaselosses", Ignored),
    ("cktlosses", Ignored), ("allocateloads", Refused), ("formedit", Ignored), ("totals", Ignored),
    ("capacity", Ignored), ("classes", Ignored), ("userclasses", Ignored), ("zsc", Ignored), ("zsc10", Ignored),
    ("zscrefresh", Ignored), ("ysc", Ignored), ("puvoltages", Ignored), ("varvalues", Ignored), ("varnames", Ignored),
    ("buscoords", BusCoordinates), ("makebuslist", Ignored), ("makeposseq", Refused), ("reduce", Refused),
    ("interpolate", Ignored), ("alignfile", Ignored), ("top", Ignored), ("rotate", Ignored), ("vdiff", Ignored),
    ("summary", Ignored), ("distribute", Refused), ("di_plot", Ignored), ("comparecases", Ignored),
    ("yearlycurves", Ignored), ("cd", Refused), ("visualize", Ignored), ("closedi", Ignored), ("doscmd", Refused),
    ("estimate", Refused), ("reconductor", Refused), ("_initsnap", Ignored), ("_solvenocontrol", Ignored),
    ("_samplecontrols", Ignored), ("_docontrolactions", Refused), ("_showcontrolqueue", Ignored),
    ("_solvedirect", Ignored), ("_solvepflow", Ignored), ("addbusmarker", Ignored), ("uuids", Ignored),
    ("setloadandgenkv", Refused), ("cvrtloadshapes", Ignored), ("nodediff", Ignored), ("rephase", Refused),
    ("setbusxy", Ignored), ("updatestorage", Refused), ("obfuscate", Refused), ("latlongcoords", Ignored),
    ("batchedit", BatchEdit), ("pstcalc", Ignored), ("variable", Ignored), ("reprocessbuses", Ignored),
    ("clearbusmarkers", Ignored), ("relcalc", Ignored), ("var", Refused), ("cleanup", Ignored),
    ("finishtimestep", Ignored), ("nodelist", Ignored), ("remove", Refused), ("clearall", Clear),
];

/// What an option does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    DefaultFrequency,
    VoltageBases,
    LoadMultiplier,
    ControlMode,
    ControlIterations,
    /// A snapshot or a run through load shapes; other modes of the engine are refused.
    Mode,
    /// Has to stay as it is by default.
    MustBe(&'static str),
    /// How the engine iterates, reports, plots or values: no effect on the circuit.
    NoEffect,
    /// May change the circuit.
    Refuse,
}

use Choice::{ControlIterations, ControlMode, DefaultFrequency, LoadMultiplier, Mode, MustBe, NoEffect, Refuse, VoltageBases};

pub(super) const OPTIONS: [(&str, Choice); 116] = [
    ("type", Refuse), ("element", Refuse), ("hour", NoEffect), ("sec", NoEffect), ("year", MustBe("0")),
    ("frequency", Refuse), ("stepsize", NoEffect), ("mode", Mode), ("random", NoEffect), ("number", NoEffect),
    ("time", NoEffect), ("class", Refuse), ("object", Refuse), ("circuit", Refuse), ("editor", NoEffect),
    ("tolerance", NoEffect), ("maxiterations", NoEffect), ("h", NoEffect), ("loadmodel", MustBe("powerflow")),
    ("loadmult", LoadMultiplier), ("normvminpu", NoEffect), ("normvmaxpu", NoEffect), ("emergvminpu", NoEffect),
    ("emergvmaxpu", NoEffect), ("%mean", NoEffect), ("%stddev", NoEffect), ("ldcurve", NoEffect), ("%growth", NoEffect),
    ("genkw", NoEffect), ("genpf", NoEffect), ("capkvar", NoEffect), ("addtype", NoEffect),
    ("allowduplicates", MustBe("no")), ("zonelock", NoEffect), ("ueweight", NoEffect), ("lossweight", NoEffect),
    ("ueregs", NoEffect), ("lossregs", NoEffect), ("voltagebases", VoltageBases), ("algorithm", NoEffect),
    ("trapezoidal", NoEffect), ("autobuslist", NoEffect), ("controlmode", ControlMode), ("tracecontrol", NoEffect),
    ("genmult", NoEffect), ("defaultdaily", NoEffect), ("defaultyearly", NoEffect), ("allocationfactors", Refuse),
    ("cktmodel", MustBe("multiphase")), ("pricesignal", NoEffect), ("pricecurve", NoEffect), ("terminal", Refuse),
    ("basefrequency", Refuse), ("harmonics", NoEffect), ("maxcontroliter", ControlIterations), ("bus", NoEffect),
    ("datapath", Refuse), ("keeplist", NoEffect), ("reduceoption", NoEffect), ("demandinterval", NoEffect),
    ("%normal", NoEffect), ("diverbose", NoEffect), ("casename", NoEffect), ("markercode", NoEffect),
    ("nodewidth", NoEffect), ("log", NoEffect), ("recorder", NoEffect), ("overloadreport", NoEffect),
    ("voltexceptionreport", NoEffect), ("cfactors", Refuse), ("showexport", NoEffect), ("numallociterations", NoEffect),
    ("defaultbasefrequency", DefaultFrequency), ("markswitches", NoEffect), ("switchmarkercode", NoEffect),
    ("daisysize", NoEffect), ("marktransformers", NoEffect), ("transmarkercode", NoEffect), ("transmarkersize", NoEffect),
    ("loadshapeclass", NoEffect), ("earthmodel", NoEffect), ("querylog", NoEffect), ("markcapacitors", NoEffect),
    ("markregulators", NoEffect), ("markpvsystems", NoEffect), ("markstorage", NoEffect), ("capmarkercode", NoEffect),
    ("regmarkercode", NoEffect), ("pvmarkercode", NoEffect), ("storemarkercode", NoEffect), ("capmarkersize", NoEffect),
    ("regmarkersize", NoEffect), ("pvmarkersize", NoEffect), ("storemarkersize", NoEffect), ("neglectloady", NoEffect),
    ("markfuses", NoEffect), ("fusemarkercode", NoEffect), ("fusemarkersize", NoEffect), ("markreclosers", NoEffect),
    ("reclosermarkercode", NoEffect), ("reclosermarkersize", NoEffect), ("registryupdate", NoEffect),
    ("markrelays", NoEffect), ("relaymarkercode", NoEffect), ("relaymarkersize", NoEffect), ("processtime", NoEffect),
    ("totaltime", NoEffect), ("steptime", NoEffect), ("sampleenergymeters", NoEffect), ("miniterations", NoEffect),
    ("keepload", NoEffect), ("zmag", NoEffect), ("linetypes", NoEffect), ("eventlogdefault", NoEffect),
    ("longlinecorrection", MustBe("no")), ("showreports", NoEffect),
];

/// The entry meant: exact, else the first that begins with the name.
pub(super) fn find<T: Copy>(table: &[(&'static str, T)], name: &str) -> Option<(&'static str, T)> {
    let name = name.to_ascii_lowercase();
    let exact = table.iter().find(|(known, _)| *known == name);
    exact.or_else(|| table.iter().find(|(known, _)| !name.is_empty() && known.starts_with(&name))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_mean_the_first_that_begins_like_them() {
        assert_eq!(find(&COMMANDS, "calcv").map(|(name, _)| name), Some("calcvoltagebases"));
        assert_eq!(find(&COMMANDS, "Solve").map(|(_, command)| command), Some(Solve));
        assert_eq!(find(&COMMANDS, "m").map(|(_, command)| command), Some(More));
        assert_eq!(find(&OPTIONS, "maxcontrol").map(|(_, choice)| choice), Some(ControlIterations));
        assert_eq!(find(&OPTIONS, "xyz"), None);
    }
}
