//! The labels of an image, by the names that the OCI specification gives them (annotations, "Pre-Defined Annotation Keys").

use std::collections::BTreeMap;

use crate::image::project::{git::Commit, pyproject::Project};

/// One that every image has.
pub const CREATED: &str = "org.opencontainers.image.created";

/// What the project, its repository and its time say of themselves, and `asked`, which counts more. The name that the image
/// gets is none of it: the same sources under another name are the same image.
pub fn of(
    project: &Project,
    commit: Option<&Commit>,
    created: &str,
    asked: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let url = |names: &[&str]| names.iter().find_map(|name| project.urls.get(*name).cloned());
    let found = [
        ("title", project.name.clone()),
        ("description", project.description.clone()),
        ("version", project.version.clone().or_else(|| commit?.version.clone())),
        ("licenses", project.license.clone()),
        ("created", Some(created.to_owned())),
        ("revision", commit.map(|commit| commit.revision.clone())),
        ("source", url(&["source", "sourcecode", "repository"]).or_else(|| commit?.source.clone())),
        ("url", url(&["homepage"])),
        ("documentation", url(&["documentation", "docs"])),
    ];
    let found = found
        .into_iter()
        .filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?)))
        .filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<String, String> = found.collect();
    labels.extend(asked.clone());
    labels
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::of;
    use crate::image::project::git::Commit;
    use crate::image::project::pyproject::Project;

    fn shown(project: &Project, commit: Option<&Commit>, asked: &[(&str, &str)]) -> Vec<String> {
        let asked: BTreeMap<_, _> = asked.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let labels = of(project, commit, "2026-01-01T00:00:00Z", &asked);
        let short = |name: &str| name.trim_start_matches("org.opencontainers.image.").to_owned();
        labels.iter().map(|(name, value)| format!("{}={value}", short(name))).collect()
    }

    #[test]
    fn a_project_is_more_to_the_point_than_its_repository_and_what_is_asked_for_more_than_both() {
        assert_eq!(shown(&Project::default(), None, &[]), ["created=2026-01-01T00:00:00Z"]);
        let commit = Commit {
            revision: "c0ffee".to_owned(),
            source: Some("https://example.org/fork".to_owned()),
            version: Some("v1-2-gc0ffee".to_owned()),
            ..Commit::default()
        };
        let created = "created=2026-01-01T00:00:00Z";
        let found = shown(&Project::default(), Some(&commit), &[("a", "b")]);
        let of_commit = ["a=b", created, "revision=c0ffee", "source=https://example.org/fork"];
        assert_eq!(found, [&of_commit[..], &["version=v1-2-gc0ffee"]].concat());
        let project = Project {
            name: Some("store".to_owned()),
            version: Some("1.2".to_owned()),
            description: Some(String::new()),
            urls: [("repository".to_owned(), "https://example.org/shop".to_owned())].into(),
            ..Project::default()
        };
        let found = shown(&project, Some(&commit), &[("org.opencontainers.image.title", "Shop")]);
        assert_eq!(found, [created, "revision=c0ffee", "source=https://example.org/shop", "title=Shop", "version=1.2"]);
    }
}
