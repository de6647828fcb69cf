//! `[[acquisition]]`.

use super::AcquisitionSection;
use super::section::Section;
use actors::grid_side::Ranks;

pub fn sender(mut section: Section<'_>) -> Option<AcquisitionSection> {
    let before = section.noted();
    let name = section.text("name");
    let name = section.needed("name", name, before);
    let mut path = |key| {
        let before = section.noted();
        let path = section.path(key);
        section.needed(key, path, before)
    };
    let (sender_key, key, points) = (path("sender_key"), path("key"), path("points"));
    let purpose = section.text("purpose").map_or("settlement".to_owned(), |purpose| purpose.value);
    let rank = super::rank(&mut section, Ranks::NAMED);
    section.finish();
    Some(AcquisitionSection {
        name: name?,
        sender_key: sender_key?,
        key: key?,
        points: points?,
        purpose,
        rank,
    })
}
