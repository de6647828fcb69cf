//! `[[acquisition]]`.

use super::AcquisitionSection;
use super::section::Section;
use actors::grid_side::Ranks;

pub fn sender(mut section: Section<'_>) -> Option<AcquisitionSection> {
    let name = section.needed("name", Section::text);
    let mut path = |key| section.needed(key, Section::path);
    let (sender_key, key, points) = (path("sender_key"), path("key"), path("points"));
    let purpose = section.text("purpose").map_or("settlement".to_owned(), |purpose| purpose.value);
    let (rank, uncertified) = super::trust(&mut section, Ranks::NAMED);
    section.finish();
    Some(AcquisitionSection {
        name: name?,
        sender_key: sender_key?,
        key: key?,
        points: points?,
        purpose,
        rank,
        uncertified,
    })
}
