//! The world that a component is of, read from its folder of WIT.

use std::path::Path;

use wit_bindgen_core::wit_parser::{PackageId, Resolve, WorldId, WorldItem, WorldKey};

use crate::BuildError;

/// A folder of WIT, and one world of it.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) package: Option<PackageId>,
    pub(crate) id: WorldId,
}

impl World {
    /// The world called `name`, as `service` or `acme:shop/service`, of `folder`; its only one where none is named.
    ///
    /// # Errors
    /// [`BuildError::Wit`] where the WIT is wrong, has no such world, or has several and none is named.
    pub(crate) fn read(folder: &Path, name: Option<&str>) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError::Wit {
            folder: folder.to_owned(),
            message,
        };
        if !folder.exists() {
            return Err(wrong(
                "it is not there; `wit = \"...\"` of the manifest's `build` says where it is".to_owned(),
            ));
        }
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(folder).map_err(|error| wrong(format!("{error:#}")))?;
        let id = resolve
            .select_world(&[package], name)
            .map_err(|error| wrong(format!("{error:#}")))?;
        let package = resolve.worlds[id].package;
        Ok(Self { resolve, package, id })
    }

    /// Its name without the package: `service`.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.resolve.worlds[self.id].name
    }

    /// Its name with the package: `acme:shop/service`.
    #[must_use]
    pub(crate) fn full_name(&self) -> String {
        let package = self.package.map(|package| &self.resolve.packages[package].name);
        match package {
            Some(package) => match &package.version {
                Some(version) => format!("{}:{}/{}@{version}", package.namespace, package.name, self.name()),
                None => format!("{}:{}/{}", package.namespace, package.name, self.name()),
            },
            None => self.name().to_owned(),
        }
    }

    /// The names of the interfaces that it exports, as Python's bindings call them: without the package, as `handler`; with it, as
    /// `wharf-websocket-handler`, where several have the same name.
    pub(crate) fn exported_interfaces(&self) -> Vec<String> {
        let exports = &self.resolve.worlds[self.id].exports;
        let name = |(key, item)| self.interface(key, item);
        let names: Vec<_> = exports.iter().filter_map(name).collect();
        let full = exports.iter().filter_map(|(key, item)| {
            let name = self.interface(key, item)?;
            let is_alone = names.iter().filter(|other| **other == name).count() == 1;
            let full = self.resolve.name_world_key(key).replace([':', '/'], "-");
            let unversioned = full.split('@').next().unwrap_or_default().to_owned();
            Some(if is_alone { name } else { unversioned })
        });
        full.collect()
    }

    fn interface(&self, key: &WorldKey, item: &WorldItem) -> Option<String> {
        match (key, item) {
            (WorldKey::Name(name), WorldItem::Interface { .. }) => Some(name.clone()),
            (_, WorldItem::Interface { id, .. }) => self.resolve.interfaces[*id].name.clone(),
            _ => None,
        }
    }

    /// The interfaces that it imports and that have async functions, by their full names.
    pub(crate) fn async_imports(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (key, item) in &self.resolve.worlds[self.id].imports {
            if let WorldItem::Interface { id, .. } = item
                && self.resolve.interfaces[*id]
                    .functions
                    .values()
                    .any(|function| function.kind.is_async())
            {
                names.push(self.resolve.name_world_key(key));
            }
        }
        names
    }
}
