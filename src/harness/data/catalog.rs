//! Which data sets there are: the recipes compiled into this program, and those of further folders.

use super::DataPlaces;
use super::recipe::{self, Recipe};
use crate::harness::error::BenchError;
use std::fs;
use std::path::Path;

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../datasets/", $name)))),*]
    };
}

/// The files of `datasets/`, in the order of `larder bench data list`.
const COMPILED: [(&str, &str); 9] = recipes![
    "kernel.toml",
    "tiny.toml",
    "binaries.toml",
    "image.toml",
    "database.toml",
    "incompressible.toml",
    "logs.toml",
    "sparse.toml",
    "chunker-worst.toml",
];

/// Recipes by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    recipes: Vec<Recipe>,
}

impl Catalog {
    /// The compiled recipes, and those of the folders in `places`, which replace compiled ones of the same name.
    pub fn load(places: &DataPlaces) -> Result<Catalog, BenchError> {
        let mut recipes = vec![];
        for (file, text) in COMPILED {
            recipes.extend(recipe::parse(&format!("datasets/{file}"), text)?);
        }
        let mut further: Vec<Recipe> = vec![];
        for folder in &places.recipes {
            for recipe in read(folder)? {
                if let Some(other) = further.iter().find(|other| other.name == recipe.name) {
                    let (name, a, b) = (&recipe.name, &other.file, &recipe.file);
                    return Err(BenchError::Invalid(format!("two recipes are named {name}: {a} and {b}")));
                }
                further.push(recipe);
            }
        }
        // A replaced recipe is gone with its small data set.
        let is_replaced = |recipe: &Recipe| {
            let base = recipe.name.strip_suffix(recipe::SMALL).unwrap_or(&recipe.name);
            further.iter().any(|new| new.name == base)
        };
        recipes.retain(|recipe| !is_replaced(recipe));
        recipes.extend(further);
        Ok(Catalog { recipes })
    }

    /// All of them.
    pub fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The one of this name; the error lists the names.
    pub fn find(&self, name: &str) -> Result<&Recipe, BenchError> {
        self.recipes
            .iter()
            .find(|recipe| recipe.name == name)
            .ok_or_else(|| BenchError::Missing(format!("there is no data set {name}; there are {}", self.names())))
    }

    /// The names, for messages.
    pub fn names(&self) -> String {
        self.recipes.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The recipes in a folder, by file name.
fn read(folder: &Path) -> Result<Vec<Recipe>, BenchError> {
    let mut files = vec![];
    for entry in folder.read_dir().map_err(BenchError::io("list the recipes in", folder))? {
        let path = entry.map_err(BenchError::io("list the recipes in", folder))?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut recipes = vec![];
    for path in files {
        let text = fs::read_to_string(&path).map_err(BenchError::io("read", &path))?;
        recipes.extend(recipe::parse(&path.display().to_string(), &text)?);
    }
    Ok(recipes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::data::recipe::Source;
    use std::collections::BTreeSet;

    #[test]
    fn every_recipe_of_the_folder_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let recipes = names.filter(|name| name != "README.md").collect::<BTreeSet<_>>();
        assert_eq!(recipes, BTreeSet::from(COMPILED.map(|(name, _)| name.to_string())));
        for (file, text) in COMPILED {
            assert_eq!(text, fs::read_to_string(folder.join(file)).unwrap());
            assert_eq!(recipe::parse(file, text).unwrap()[0].name, file.strip_suffix(".toml").unwrap());
        }
    }

    #[test]
    fn compiled_recipes_are_complete() {
        let catalog = Catalog::load(&DataPlaces::default()).unwrap();
        for recipe in catalog.recipes() {
            let name = &recipe.name;
            assert!(!recipe.stands_for.is_empty() && !recipe.licence.is_empty(), "{name}");
            assert!(recipe.second.is_some() && recipe.changes.is_some(), "{name} has no second version");
            for expected in [Some(&recipe.first), recipe.second.as_ref()].into_iter().flatten() {
                assert!(expected.bytes.is_some() && expected.files.is_some(), "{name}: how much is it?");
                let is_seeded = matches!(recipe.source, Source::Seeded(..));
                assert_eq!(expected.digest.is_some(), is_seeded, "{name}: digests are for what is the same everywhere");
            }
            if let Some(from) = recipe.source.from() {
                assert!(catalog.find(from).unwrap().second.is_some(), "{name}");
            }
        }
        let small = catalog.recipes().iter().filter(|recipe| recipe.name.ends_with(recipe::SMALL)).count();
        assert_eq!(small, 8, "all but the kernel have a small one");
    }

    #[test]
    fn other_folders_add_and_replace() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, name: &str| {
            let text =
                format!("name = \"{name}\"\nstands_for = \"x\"\nlicence = \"x\"\n[full]\npath = {{ first = \"/\" }}\n");
            fs::write(folder.path().join(file), text).unwrap();
        };
        write("1.toml", "mine");
        write("2.toml", "tiny");
        fs::write(folder.path().join("README.md"), "no recipe").unwrap();
        let places = DataPlaces { recipes: vec![folder.path().into()], ..DataPlaces::default() };
        let catalog = Catalog::load(&places).unwrap();
        assert_eq!(catalog.find("mine").unwrap().source.kind(), "path");
        assert_eq!(catalog.find("tiny").unwrap().source.kind(), "path");
        assert!(catalog.find("tiny-small").is_err());
        let told = catalog.find("tinny").unwrap_err().to_string();
        assert!(told.contains("no data set tinny") && told.contains("kernel, ") && told.contains("mine"), "{told}");

        write("3.toml", "mine");
        let told = Catalog::load(&places).unwrap_err().to_string();
        assert!(told.contains("1.toml") && told.contains("3.toml"), "{told}");
        fs::write(folder.path().join("3.toml"), "name = 3").unwrap();
        let told = Catalog::load(&places).unwrap_err().to_string();
        assert!(told.contains("3.toml is wrong in line 1"), "{told}");
        let places = DataPlaces { recipes: vec![folder.path().join("absent")], ..DataPlaces::default() };
        assert!(Catalog::load(&places).unwrap_err().to_string().contains("absent"));
    }
}
