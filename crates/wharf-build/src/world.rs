//! The world that a component is of, read from its folder of WIT.

use std::path::Path;

use wit_bindgen_core::wit_parser::{
    self, FunctionKind, PackageId, Resolve, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey,
};

use crate::BuildError;

/// A folder of WIT, and one world of it.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) package: Option<PackageId>,
    pub(crate) id: WorldId,
}

/// Something that a world exports: an interface, or a function of its own.
pub(crate) struct Export {
    /// As bindings call it: without the package, as `handler`; with it, as `wharf-websocket-handler`, where several have the same name.
    pub(crate) name: String,
    /// No other has the same name.
    pub(crate) is_alone: bool,
    pub(crate) is_interface: bool,
    /// The functions of an interface.
    pub(crate) functions: Vec<Function>,
}

/// A function of an interface.
pub(crate) struct Function {
    /// As the WIT has it.
    pub(crate) name: String,
    pub(crate) is_async: bool,
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
            .map_err(|error| wrong(format!("{error:#}{}", worlds_of(&resolve, package))))?;
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

    /// What it exports.
    pub(crate) fn exports(&self) -> Vec<Export> {
        let exports = &self.resolve.worlds[self.id].exports;
        let short = |(key, item)| self.interface(key, item);
        let names: Vec<_> = exports.iter().filter_map(short).collect();
        let export = |(key, item): (&WorldKey, &WorldItem)| {
            if let (WorldKey::Name(name), WorldItem::Function(_)) = (key, item) {
                return Some(Export {
                    name: name.clone(),
                    is_alone: true,
                    is_interface: false,
                    functions: Vec::new(),
                });
            }
            let name = self.interface(key, item)?;
            let is_alone = names.iter().filter(|other| **other == name).count() == 1;
            let full = self.resolve.name_world_key(key).replace([':', '/'], "-");
            let unversioned = full.split('@').next().unwrap_or_default().to_owned();
            Some(Export {
                name: if is_alone { name } else { unversioned },
                is_alone,
                is_interface: true,
                functions: self.functions(item),
            })
        };
        exports.iter().filter_map(export).collect()
    }

    /// Those of an interface that belong to no resource.
    fn functions(&self, item: &WorldItem) -> Vec<Function> {
        let WorldItem::Interface { id, .. } = item else {
            return Vec::new();
        };
        let functions = self.resolve.interfaces[*id].functions.values();
        let free = functions.filter(|function| {
            matches!(
                function.kind,
                FunctionKind::Freestanding | FunctionKind::AsyncFreestanding
            )
        });
        let function = |function: &wit_parser::Function| Function {
            name: function.name.clone(),
            is_async: function.kind.is_async(),
        };
        free.map(function).collect()
    }

    /// The resources of the interface that it exports under this name, as `counter` of `shapes`.
    pub(crate) fn exported_resources(&self, interface: &str) -> Vec<&str> {
        let exports = self.resolve.worlds[self.id].exports.iter();
        let called_so = exports.filter(|(key, item)| self.interface(key, item).as_deref() == Some(interface));
        let types = called_so.flat_map(|(_, item)| match item {
            WorldItem::Interface { id, .. } => self.resolve.interfaces[*id].types.iter().collect(),
            _ => Vec::new(),
        });
        let is_resource = |id: TypeId| self.resolve.types[id].kind == TypeDefKind::Resource;
        types
            .filter_map(|(name, id)| is_resource(*id).then_some(name.as_str()))
            .collect()
    }

    /// The interfaces that it imports, by their full names.
    pub(crate) fn imports(&self) -> Vec<String> {
        let imports = self.resolve.worlds[self.id].imports.iter();
        let interfaces = imports.filter(|(_, item)| matches!(item, WorldItem::Interface { .. }));
        interfaces.map(|(key, _)| self.resolve.name_world_key(key)).collect()
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

/// Which worlds there are, for those who have named none of them.
fn worlds_of(resolve: &Resolve, package: PackageId) -> String {
    let names: Vec<_> = resolve.packages[package].worlds.keys().map(String::as_str).collect();
    match names.is_empty() {
        true => "; there is none in it".to_owned(),
        false => format!("; `world` of the manifest's `build` names one: {}", names.join(", ")),
    }
}
