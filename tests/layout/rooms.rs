//! The files and folders of a crate as rooms, and the imports between rooms as arrows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::{fmt, slice};

use crate::paths::{self, Path};
use crate::sources;

/// The modules of a crate, by their paths, such as `["hub", "broker"]`.
pub(crate) struct Tree {
    root: String,
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: String,
    paths: Vec<Path>,
}

/// An import of `to_room` by `from_room`, which are in the same folder.
pub(crate) struct Arrow {
    pub(crate) folder: String,
    pub(crate) from_room: String,
    pub(crate) to_room: String,
    /// The importing file, and the imported one.
    pub(crate) from: String,
    pub(crate) to: String,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, from_room, to_room, from, to } = self;
        write!(f, "{folder}: {from_room} -> {to_room} ({from} -> {to})")
    }
}

impl Tree {
    pub(crate) fn read(root: &str) -> Self {
        let module = |(file, text): (String, String)| {
            let path = file.strip_prefix(root).unwrap().strip_suffix(".rs").unwrap();
            let names = path.split('/').filter(|name| !matches!(*name, "" | "mod" | "lib"));
            let module = names.map(str::to_owned).collect();
            (module, Module { paths: paths::of(&text), file })
        };
        Self { root: root.to_owned(), modules: sources(root).into_iter().map(module).collect() }
    }

    /// Returns the names of the files and folders of a folder, and whether each is a folder.
    pub(crate) fn children(&self, folder: &str) -> BTreeMap<String, bool> {
        let folder = self.module_of(folder);
        let inner = self.modules.keys().filter_map(|module| module.strip_prefix(&folder[..]));
        let mut children = BTreeMap::new();
        for module in inner {
            if let Some((child, rest)) = module.split_first() {
                *children.entry(child.clone()).or_default() |= !rest.is_empty();
            }
        }
        children
    }

    fn module_of(&self, folder: &str) -> Vec<String> {
        let inner = folder.strip_prefix(&self.root).expect("a folder of the crate");
        inner.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Returns all arrows between rooms of the same folder. An import between a file and its
    /// `mod.rs` is no arrow.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let imports = self.imports();
        let mut arrows = Vec::new();
        for (module, Module { file, paths }) in &self.modules {
            for path in paths {
                let Some(to) = self.resolve(&imports, &absolute(module, &path.segments)) else {
                    continue;
                };
                let depth = module.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if let (Some(from_room), Some(to_room)) = (module.get(depth), to.get(depth)) {
                    arrows.push(Arrow {
                        folder: [slice::from_ref(&self.root), &module[..depth]].concat().join("/"),
                        from_room: from_room.clone(),
                        to_room: to_room.clone(),
                        from: file.clone(),
                        to: self.modules[&to].file.clone(),
                    });
                }
            }
        }
        arrows
    }

    /// Returns what each `use` imports, by the path under which other modules can name it.
    fn imports(&self) -> HashMap<Vec<String>, Vec<String>> {
        let mut imports = HashMap::new();
        for (module, Module { paths, .. }) in &self.modules {
            for path in paths {
                if let Some(name) = &path.imported_as {
                    let imported = module.iter().chain([name]).cloned().collect();
                    imports.insert(imported, absolute(module, &path.segments));
                }
            }
        }
        imports
    }

    fn resolve(
        &self,
        imports: &HashMap<Vec<String>, Vec<String>>,
        path: &[String],
    ) -> Option<Vec<String>> {
        for len in (1..=path.len()).rev() {
            // If a module has the name of a function in it, the path names the module.
            let is_elsewhere = |target: &&Vec<String>| !target.starts_with(&path[..len]);
            if let Some(target) = imports.get(&path[..len]).filter(is_elsewhere) {
                return self.resolve(imports, &[target, &path[len..]].concat());
            }
            if self.modules.contains_key(&path[..len]) {
                return Some(path[..len].to_vec());
            }
        }
        None
    }
}

fn absolute(module: &[String], segments: &[String]) -> Vec<String> {
    let mut path = module.to_vec();
    for segment in segments {
        match segment.as_str() {
            "crate" => path.clear(),
            "self" => {}
            "super" => _ = path.pop(),
            name => path.push(name.to_owned()),
        }
    }
    path
}

/// Returns the arrows of circles, and those that lead from one circle to another.
pub(crate) fn circles(mut arrows: Vec<Arrow>) -> Vec<Arrow> {
    loop {
        let before = arrows.len();
        let importing: BTreeSet<_> =
            arrows.iter().map(|it| (it.folder.clone(), it.from_room.clone())).collect();
        let imported: BTreeSet<_> =
            arrows.iter().map(|it| (it.folder.clone(), it.to_room.clone())).collect();
        // A room that imports no other, or that no other imports, is in no circle.
        arrows.retain(|Arrow { folder, from_room, to_room, .. }| {
            importing.contains(&(folder.clone(), to_room.clone()))
                && imported.contains(&(folder.clone(), from_room.clone()))
        });
        if arrows.len() == before {
            return arrows;
        }
    }
}
