//! The groups of `project.optional-dependencies`, and requirements for some of them that name the project itself.

use super::lines;
use crate::{
    exit::Fatal,
    image::{
        choices::Said,
        project::pyproject::{FILE, Listed, Project},
    },
};

/// A list that grows by requirements and groups. The project itself, which is served from its folder, is never on it: the package
/// index may have another one of that name.
pub struct List<'a> {
    project: &'a Project,
    /// The groups that are being added, which may name themselves.
    open: Vec<String>,
    /// What there is so far.
    pub all: Vec<Listed>,
}

impl<'a> List<'a> {
    /// An empty one.
    pub fn of(project: &'a Project) -> Self {
        Self { project, open: Vec::new(), all: Vec::new() }
    }

    /// The group that is called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn group(&self, name: &str) -> Result<&'a [Listed], Fatal> {
        let (optional, wanted) = (&self.project.optional, lines::name(name));
        let found = optional.iter().find(|(known, _)| lines::name(known) == wanted);
        found.map(|(_, group)| group.as_slice()).ok_or_else(|| {
            let known: Vec<_> = optional.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "has none".to_owned() } else { format!("has {}", known.join(", ")) };
            Fatal::new(format!(
                "There is no extra {name} in {FILE}: project.optional-dependencies {known}. Correct the extra's name."
            ))
        })
    }

    /// Adds what is in `group`, which is called `name`, where `marker` holds.
    ///
    /// # Errors
    /// It names another group that is not there.
    pub fn add_group(&mut self, name: &str, group: &[Listed], marker: Option<&str>) -> Result<(), Fatal> {
        let name = lines::name(name);
        if self.open.contains(&name) {
            return Ok(());
        }
        self.open.push(name);
        group.iter().try_for_each(|listed| self.add(listed, marker))?;
        self.open.pop();
        Ok(())
    }

    /// Adds a requirement where `marker` holds: the groups that it names, where it is for the project itself.
    ///
    /// # Errors
    /// It names a group that is not there.
    pub fn add(&mut self, listed: &Listed, marker: Option<&str>) -> Result<(), Fatal> {
        let (wanted, own) = lines::marker(&listed.requirement);
        let both = match (own, marker) {
            (Some(own), Some(marker)) => Some(format!("({own}) and ({marker})")),
            (own, marker) => own.or(marker).map(str::to_owned),
        };
        if self.project.name.as_ref().is_none_or(|name| lines::name(name) != lines::name(wanted)) {
            let requirement = match both {
                Some(both) if marker.is_some() => format!("{wanted} ; {both}"),
                _ => listed.requirement.clone(),
            };
            self.all.push(Listed { requirement, line: listed.line });
            return Ok(());
        }
        for name in lines::extras(wanted) {
            let group = self.group(name).map_err(|error| Said::on_line(listed.line, ()).locate(error))?;
            self.add_group(name, group, both.as_deref())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::List;
    use crate::image::project::pyproject::{Listed, Project};

    fn listed(requirement: &str, line: usize) -> Listed {
        Listed { requirement: requirement.to_owned(), line }
    }

    #[test]
    fn the_project_itself_stands_for_its_groups() {
        let project = Project {
            name: Some("My_Shop".to_owned()),
            optional: [
                ("all".to_owned(), vec![listed("my-shop[Fast_JSON, cache] ; python_version > '3'", 2)]),
                (
                    "cache".to_owned(),
                    vec![listed("redis;os_name == 'a' or os_name == 'b'", 3), listed("my.shop[all]", 4)],
                ),
                ("fast-json".to_owned(), vec![listed("orjson", 5), listed("c @ https://example.org/c;v=1.zip", 6)]),
                ("wrong".to_owned(), vec![listed("my-shop[slow]", 7)]),
            ]
            .into(),
            ..Project::default()
        };
        let mut list = List::of(&project);
        list.add(&listed("flask", 1), None).unwrap();
        list.add(&listed("my-shop", 1), None).unwrap();
        list.add_group("all", list.group("All").unwrap(), None).unwrap();
        let all = [
            listed("flask", 1),
            listed("orjson ; python_version > '3'", 5),
            listed("c @ https://example.org/c;v=1.zip ; python_version > '3'", 6),
            listed("redis ; (os_name == 'a' or os_name == 'b') and (python_version > '3')", 3),
        ];
        assert_eq!(list.all, all);
        let mut list = List::of(&project);
        let error = list.add_group("wrong", list.group("wrong").unwrap(), None).unwrap_err().to_string();
        assert!(error.starts_with("pyproject.toml, line 7: There is no extra slow in pyproject.toml: "), "{error}");
        // Nobody can tell what is itself.
        let nameless = Project { name: None, ..project };
        let mut list = List::of(&nameless);
        list.add(&listed("my-shop[all]", 1), None).unwrap();
        assert_eq!(list.all, [listed("my-shop[all]", 1)]);
    }
}
