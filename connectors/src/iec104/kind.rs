//! Type identifications (IEC 60870-5-101, 7.2.1): which of them carry what we take, and the names of the others.

/// What an object of a type holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Single point with quality, one octet.
    Single,
    /// Double point with quality, one octet.
    Double,
    /// Normalised value, two octets, and quality.
    Normalised,
    /// Normalised value without quality.
    NormalisedBare,
    /// Scaled value, two octets, and quality.
    Scaled,
    /// Short floating point, four octets, and quality.
    Float,
    /// Binary counter reading, five octets.
    Counter,
}

impl Content {
    /// Octets of it.
    pub const fn octets(self) -> usize {
        match self {
            Content::Single | Content::Double => 1,
            Content::NormalisedBare => 2,
            Content::Normalised | Content::Scaled => 3,
            Content::Float | Content::Counter => 5,
        }
    }
}

/// Which time tag stands behind the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// None.
    Not,
    /// CP24Time2a: minute and milliseconds.
    Minute,
    /// CP56Time2a: the whole date.
    Date,
}

impl Tagged {
    /// Octets of it.
    pub const fn octets(self) -> usize {
        match self {
            Tagged::Not => 0,
            Tagged::Minute => 3,
            Tagged::Date => 7,
        }
    }
}

/// A type identification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl Kind {
    /// End of initialisation of a station.
    pub const M_EI_NA_1: Kind = Kind(70);
    /// General interrogation.
    pub const C_IC_NA_1: Kind = Kind(100);
    /// Counter interrogation.
    pub const C_CI_NA_1: Kind = Kind(101);
    /// Setting of the clock.
    pub const C_CS_NA_1: Kind = Kind(103);

    /// What its objects hold; `None` of those we do not take.
    pub const fn layout(self) -> Option<(Content, Tagged)> {
        Some(match self.0 {
            1 => (Content::Single, Tagged::Not),
            2 => (Content::Single, Tagged::Minute),
            30 => (Content::Single, Tagged::Date),
            3 => (Content::Double, Tagged::Not),
            4 => (Content::Double, Tagged::Minute),
            31 => (Content::Double, Tagged::Date),
            9 => (Content::Normalised, Tagged::Not),
            10 => (Content::Normalised, Tagged::Minute),
            34 => (Content::Normalised, Tagged::Date),
            21 => (Content::NormalisedBare, Tagged::Not),
            11 => (Content::Scaled, Tagged::Not),
            12 => (Content::Scaled, Tagged::Minute),
            35 => (Content::Scaled, Tagged::Date),
            13 => (Content::Float, Tagged::Not),
            14 => (Content::Float, Tagged::Minute),
            36 => (Content::Float, Tagged::Date),
            15 => (Content::Counter, Tagged::Not),
            16 => (Content::Counter, Tagged::Minute),
            37 => (Content::Counter, Tagged::Date),
            _ => return None,
        })
    }

    /// Its name in the standard, or its number.
    pub fn name(self) -> String {
        let known = NAMES.iter().find(|(number, _)| *number == self.0);
        known.map_or_else(|| format!("type {}", self.0), |(_, name)| (*name).to_owned())
    }
}

const NAMES: [(u8, &str); 47] = [
    (1, "M_SP_NA_1"),
    (2, "M_SP_TA_1"),
    (3, "M_DP_NA_1"),
    (4, "M_DP_TA_1"),
    (5, "M_ST_NA_1"),
    (6, "M_ST_TA_1"),
    (7, "M_BO_NA_1"),
    (8, "M_BO_TA_1"),
    (9, "M_ME_NA_1"),
    (10, "M_ME_TA_1"),
    (11, "M_ME_NB_1"),
    (12, "M_ME_TB_1"),
    (13, "M_ME_NC_1"),
    (14, "M_ME_TC_1"),
    (15, "M_IT_NA_1"),
    (16, "M_IT_TA_1"),
    (17, "M_EP_TA_1"),
    (18, "M_EP_TB_1"),
    (19, "M_EP_TC_1"),
    (20, "M_PS_NA_1"),
    (21, "M_ME_ND_1"),
    (30, "M_SP_TB_1"),
    (31, "M_DP_TB_1"),
    (32, "M_ST_TB_1"),
    (33, "M_BO_TB_1"),
    (34, "M_ME_TD_1"),
    (35, "M_ME_TE_1"),
    (36, "M_ME_TF_1"),
    (37, "M_IT_TB_1"),
    (38, "M_EP_TD_1"),
    (39, "M_EP_TE_1"),
    (40, "M_EP_TF_1"),
    (45, "C_SC_NA_1"),
    (46, "C_DC_NA_1"),
    (47, "C_RC_NA_1"),
    (48, "C_SE_NA_1"),
    (49, "C_SE_NB_1"),
    (50, "C_SE_NC_1"),
    (51, "C_BO_NA_1"),
    (70, "M_EI_NA_1"),
    (100, "C_IC_NA_1"),
    (101, "C_CI_NA_1"),
    (102, "C_RD_NA_1"),
    (103, "C_CS_NA_1"),
    (105, "C_RP_NA_1"),
    (107, "C_TS_TA_1"),
    (120, "F_FR_NA_1"),
];
