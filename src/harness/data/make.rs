//! Making a data set: beside its place, whole or not at all, by one process at a time.

use super::catalog::Catalog;
use super::made::{RECORD, Record, State, check, home, place, state};
use super::recipe::{Recipe, Source};
use super::tree::{Tree, Version};
use super::verify::{Outcome, verify};
use super::{DataPlaces, Watch, command, database, digest, image, package};
use crate::harness::error::BenchError;
use crate::harness::report::{Unit, number};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a small file takes beyond its bytes, on average half a block, and an inode.
const FILE_OVERHEAD: u64 = 2304;
/// How often a data set that another process makes is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Makes a data set that is not there, or is another recipe's, and whatever it is made of. With `again` also one that is.
pub fn make(
    catalog: &Catalog,
    recipe: &Recipe,
    places: &DataPlaces,
    again: bool,
    watch: &Watch<'_>,
) -> Result<Record, BenchError> {
    if let Source::Path(_) = recipe.source {
        return Err(BenchError::Invalid(format!(
            "{} is not made: its recipe {} says where it lies; `larder bench data verify {}` reads it",
            recipe.name, recipe.file, recipe.name
        )));
    }
    let home = home(recipe, places)?;
    fs::create_dir_all(&places.made).map_err(BenchError::io("make", &places.made))?;
    let _lock = lock(recipe, places, watch)?;
    match state(recipe, places)? {
        State::Made(record) | State::Incomplete(record) if !again => {
            check(recipe, &record, places)?;
            return Ok(record);
        }
        State::Foreign => {
            let home = home.display();
            return Err(BenchError::Invalid(format!(
                "{home} is there and was not made by `larder bench data make`: move it away, or name another folder \
                 with --data-dir"
            )));
        }
        _ => {}
    }
    let from = recipe.source.from().map(|from| ensure_from(catalog, recipe, from, places, watch)).transpose()?;
    let prefix = format!(".making-{}.", recipe.name);
    remove_leftovers(places, &prefix)?;
    check_room(recipe, places)?;
    watch.say(&format!("making {} in {}", recipe.name, places.made.display()));
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(&places.made);
    let temporary = temporary.map_err(BenchError::io("make a folder in", &places.made))?;
    let new = temporary.path().join("new");
    fs::create_dir(&new).map_err(BenchError::io("make", &new))?;
    let record = fill(recipe, from.as_ref(), &new, temporary.path(), places, watch)?;
    let text = serde_json::to_string_pretty(&record).map_err(|e| BenchError::Invalid(e.to_string()))?;
    fs::write(new.join(RECORD), text + "\n").map_err(BenchError::io("write", &new.join(RECORD)))?;
    fs::set_permissions(&new, Permissions::from_mode(0o755)).map_err(BenchError::io("set the mode of", &new))?;
    put(&new, &home, temporary.path())?;
    Ok(record)
}

/// The data set that another is made of, in both versions.
fn ensure_from(
    catalog: &Catalog,
    recipe: &Recipe,
    from: &str,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<[PathBuf; 2], BenchError> {
    let wrong = |why: String| BenchError::Invalid(format!("the recipe {} cannot be used: {why}", recipe.file));
    let source = catalog.find(from).map_err(|e| wrong(e.to_string()))?;
    if source.source.from().is_some() {
        return Err(wrong(format!("{from} is itself made of another data set")));
    }
    if recipe.second.is_some() && source.second.is_none() {
        return Err(wrong(format!("{from} has no second version")));
    }
    let is_there = match source.source {
        Source::Path(_) => true,
        _ => matches!(state(source, places)?, State::Made(_)),
    };
    if !matches!(source.source, Source::Path(_)) {
        make(catalog, source, places, false, watch)?;
    }
    // What was made just now has been read.
    if is_there {
        watch.say(&format!("reading {from}, which {} is made of", recipe.name));
        must_be_whole(recipe, source, places, watch)?;
    }
    Ok(Version::BOTH.map(|version| place(source, version, places)))
}

/// Damage of a data set shall not be made part of another, and recorded as right.
fn must_be_whole(recipe: &Recipe, source: &Recipe, places: &DataPlaces, watch: &Watch<'_>) -> Result<(), BenchError> {
    for verified in verify(source, places, watch)? {
        let (Outcome::Differs(why) | Outcome::Missing(why)) = &verified.outcome else { continue };
        let (name, from, word) = (&recipe.name, &source.name, verified.version.word());
        let help = match source.source {
            Source::Path(_) => format!("{} says what it should be", source.file),
            _ => format!("`larder bench data make {from} --again` makes it anew"),
        };
        return Err(BenchError::NotMeasured(format!(
            "{name} is made of {from}, whose {word} version is not what it was: {why}; {help}"
        )));
    }
    Ok(())
}

/// Holds the right to make this data set, until it is dropped.
fn lock(recipe: &Recipe, places: &DataPlaces, watch: &Watch<'_>) -> Result<File, BenchError> {
    let path = places.made.join(format!(".{}.lock", recipe.name));
    let file = File::options().create(true).append(true).open(&path).map_err(BenchError::io("make", &path))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(e)) => return Err(BenchError::io("lock", &path)(e)),
            Err(fs::TryLockError::WouldBlock) => {
                if !said {
                    watch.say(&format!("another process makes {}: waiting for it", recipe.name));
                    said = true;
                }
                watch.poll()?;
                std::thread::sleep(TICK);
            }
        }
    }
}

/// What a process left that was killed while it made this; the lock says that none does now.
fn remove_leftovers(places: &DataPlaces, prefix: &str) -> Result<(), BenchError> {
    for entry in places.made.read_dir().map_err(BenchError::io("list", &places.made))? {
        let entry = entry.map_err(BenchError::io("list", &places.made))?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            fs::remove_dir_all(entry.path()).map_err(BenchError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// An error when there is surely not enough space.
fn check_room(recipe: &Recipe, places: &DataPlaces) -> Result<(), BenchError> {
    let stat = rustix::fs::statvfs(&places.made).map_err(|e| BenchError::io("look at", &places.made)(e.into()))?;
    room_for(recipe, stat.f_bavail.saturating_mul(stat.f_frsize), places)
}

fn room_for(recipe: &Recipe, free: u64, places: &DataPlaces) -> Result<(), BenchError> {
    let mut needed = 0;
    for expected in [Some(&recipe.first), recipe.second.as_ref()].into_iter().flatten() {
        let files = expected.files.unwrap_or(0).saturating_mul(FILE_OVERHEAD);
        needed += expected.disk.or(expected.bytes).unwrap_or(0).saturating_add(files);
    }
    if let Source::Package(_) = recipe.source {
        // The package and the archive in it lie there while it is unpacked.
        needed += needed / 5;
    }
    if needed <= free {
        return Ok(());
    }
    let [needed, free] = [needed, free].map(|bytes| number::show(bytes as f64, Unit::Bytes));
    Err(BenchError::Missing(format!(
        "{} needs {needed} in {}, and {free} are free there: make room, or name another folder with --data-dir",
        recipe.name,
        places.made.display()
    )))
}

/// Makes the versions in `new`, one after the other, and holds each against the recipe.
fn fill(
    recipe: &Recipe,
    from: Option<&[PathBuf; 2]>,
    new: &Path,
    temporary: &Path,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<Record, BenchError> {
    let (mut made_from, mut digests) = (vec![], vec![]);
    for (i, version) in Version::BOTH.into_iter().enumerate() {
        let Some(expected) = recipe.expected(version) else { continue };
        watch.say(&format!("making {}: {} version", recipe.name, version.word()));
        let work = temporary.join(format!("work-{}", version.word()));
        fs::create_dir(&work).map_err(BenchError::io("make", &work))?;
        let (first, out) = (new.join(Version::First.word()), new.join(version.word()));
        let first = (version == Version::Second).then_some(first.as_path());
        match (&recipe.source, from, first) {
            (Source::Seeded(generator, parameters), ..) => {
                let tree = Tree::create(&out, version, watch)?;
                generator.fill(parameters, &tree)?;
                tree.finish()?;
            }
            (Source::Package(package), ..) => {
                made_from.push(package::fill(package, version, &out, &work, places, watch)?);
            }
            (Source::Image(image), Some(from), None) => image::first(image, &from[0], &out, &work, watch)?,
            (Source::Image(_), Some([a, b]), Some(first)) => image::second(first, [a, b], &out, &work, watch)?,
            (Source::Database(database), _, first) => database::fill(database, first, &out, &work, watch)?,
            (Source::Command(command), from, first) => {
                command::fill(command, version, first, from.map(|from| from[i].as_path()), &out, watch)?;
            }
            (Source::Image(_), None, _) | (Source::Path(_), ..) => {
                return Err(BenchError::Invalid(format!("{} cannot be made", recipe.name)));
            }
        }
        fs::remove_dir_all(&work).map_err(BenchError::io("remove", &work))?;
        let digest = digest::of(&out, watch)?;
        if let Some(why) = expected.differs(&digest) {
            let (name, file, word) = (&recipe.name, &recipe.file, version.word());
            return Err(BenchError::NotMeasured(format!(
                "the {word} version of {name} is not what its recipe {file} says: {why}"
            )));
        }
        digests.push(digest);
    }
    let mut digests = digests.into_iter();
    let first = digests.next().unwrap_or_default();
    Ok(Record { recipe: recipe.fingerprint(), made_from, first, second: digests.next() })
}

/// Brings the new folder to its place. What is written back now does not disturb what is measured next.
fn put(new: &Path, home: &Path, temporary: &Path) -> Result<(), BenchError> {
    let folder = File::open(new).map_err(BenchError::io("open", new))?;
    rustix::fs::syncfs(&folder).map_err(|e| BenchError::io("write back", new)(e.into()))?;
    if home.exists() {
        let old = temporary.join("old");
        fs::rename(home, &old).map_err(BenchError::io("move away", home))?;
    }
    fs::rename(new, home).map_err(BenchError::io("move into its place", home))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::data::verify::Verified;
    use crate::harness::data::{resolve, resolve_watched};
    use std::sync::atomic::AtomicBool;

    /// In memory where there is such a place, since what is made is written back.
    fn machine() -> (tempfile::TempDir, DataPlaces) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let places = DataPlaces { made: folder.path().join("made"), recipes: vec![folder.path().join("recipes")] };
        fs::create_dir(&places.recipes[0]).unwrap();
        (folder, places)
    }

    fn with_recipe(places: &DataPlaces, name: &str, full: &str) {
        let text = format!("name = \"{name}\"\nstands_for = \"x\"\nlicence = \"x\"\n[full]\n{full}\n");
        fs::write(places.recipes[0].join(format!("{name}.toml")), text).unwrap();
    }

    const WORST: &str = "seeded = { generator = \"worst\", seed = 1, file_mib = 1 }";

    fn make_named(name: &str, places: &DataPlaces) -> Result<Record, BenchError> {
        let catalog = Catalog::load(places)?;
        make(&catalog, catalog.find(name)?, places, false, &Watch::default())
    }

    fn verify_named(name: &str, places: &DataPlaces) -> Result<Vec<Verified>, BenchError> {
        verify(Catalog::load(places)?.find(name)?, places, &Watch::default())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_small_seeded_recipe_makes_what_its_digest_says() {
        let catalog = Catalog::load(&DataPlaces::default()).unwrap();
        let seeded = |recipe: &&Recipe| matches!(recipe.source, Source::Seeded(..)) && recipe.name.ends_with("-small");
        let mut generators = vec![];
        for recipe in catalog.recipes().iter().filter(seeded) {
            let (_guard, places) = machine();
            let record = make(&catalog, recipe, &places, false, &Watch::default()).unwrap();
            assert_eq!(Some(&record.first.digest), recipe.first.digest.as_ref(), "{}", recipe.name);
            let second = recipe.second.as_ref().unwrap();
            assert_eq!(Some(&record.second.as_ref().unwrap().digest), second.digest.as_ref(), "{}", recipe.name);
            assert_ne!(recipe.first.digest, second.digest, "{}", recipe.name);
            let Source::Seeded(generator, _) = &recipe.source else { unreachable!() };
            generators.push(*generator);
        }
        for generator in crate::harness::data::generate::Generator::ALL {
            assert!(generators.contains(&generator), "no small recipe shows {generator:?}");
        }
    }

    #[test]
    fn a_seeded_data_set_is_made_when_it_is_first_used() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", &format!("{WORST}\nsecond = {{}}"));
        let (said, now) = (std::cell::RefCell::new(vec![]), AtomicBool::new(false));
        let say = |line: &str| said.borrow_mut().push(line.to_string());
        let watch = Watch { say: Some(&say), cancel: Some(&now) };
        let set = resolve_watched("w", &places, &watch).unwrap();
        assert_eq!(said.borrow().len(), 3, "{said:?}");
        assert_eq!((set.name.as_str(), set.path.as_path()), ("w", places.made.join("w/first").as_path()));
        assert_eq!(set.second.as_deref(), Some(places.made.join("w/second").as_path()));
        let used = set.used().unwrap();
        assert_eq!((used.bytes, used.files), (16 << 20, 16));
        let before = places.made.join("w").metadata().unwrap().modified().unwrap();
        resolve_watched("w", &places, &watch).unwrap();
        assert_eq!(said.borrow().len(), 3, "made twice");
        assert_eq!(places.made.join("w").metadata().unwrap().modified().unwrap(), before);
        assert_eq!(names(&places.made), [".w.lock", "w"]);
        assert_eq!(names(&places.made.join("w")), ["first", "made.json", "second"]);
    }

    #[test]
    fn what_does_not_fit_its_recipe_is_not_made_and_leaves_nothing() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", &format!("{WORST}\nfirst = {{ digest = \"{}\" }}", "0".repeat(64)));
        let told = make_named("w", &places).unwrap_err().to_string();
        assert!(told.contains("first version of w") && told.contains("expected was 0000"), "{told}");
        assert_eq!(names(&places.made), [".w.lock"]);
        let told = verify_named("w", &places).unwrap_err().to_string();
        assert!(told.contains("not made") && told.contains("data make w"), "{told}");
    }

    #[test]
    fn verify_sees_a_changed_byte_and_a_missing_file() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", &format!("{WORST}\nsecond = {{}}"));
        make_named("w", &places).unwrap();
        let differing = || {
            let verified = verify_named("w", &places).unwrap();
            verified.iter().filter(|v| v.is_damaged()).map(|v| v.version.word()).collect::<Vec<_>>()
        };
        assert_eq!(differing(), [""; 0]);
        let file = places.made.join("w/second/counter");
        let mut bytes = fs::read(&file).unwrap();
        bytes[77] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(differing(), ["second"]);
        // Only reading sees that; a missing file is seen by whoever uses the data, too.
        resolve("w", &places).unwrap();
        fs::remove_file(places.made.join("w/first/counter")).unwrap();
        for told in [resolve("w", &places).unwrap_err(), make_named("w", &places).unwrap_err()] {
            let told = told.to_string();
            assert!(told.contains("first version of w has 15728640 bytes in 15 files"), "{told}");
            assert!(told.contains("data verify w`") && told.contains("--again"), "{told}");
        }
        assert_eq!(differing(), ["first", "second"]);
        let catalog = Catalog::load(&places).unwrap();
        make(&catalog, catalog.find("w").unwrap(), &places, true, &Watch::default()).unwrap();
        assert_eq!(differing(), [""; 0]);
        assert_eq!(names(&places.made), [".w.lock", "w"]);
    }

    #[test]
    fn a_version_that_is_gone_is_missing_and_the_other_is_read() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", &format!("{WORST}\nsecond = {{}}"));
        let record = make_named("w", &places).unwrap();
        fs::remove_dir_all(places.made.join("w/second")).unwrap();
        let verified = verify_named("w", &places).unwrap();
        assert_eq!((&verified[0].outcome, verified[0].found.as_ref()), (&Outcome::Same, Some(&record.first)));
        let Outcome::Missing(why) = &verified[1].outcome else { panic!("{verified:?}") };
        assert!(why.contains("w/second is not there") && why.contains("make w --again"), "{why}");
        let catalog = Catalog::load(&places).unwrap();
        assert_eq!(state(catalog.find("w").unwrap(), &places).unwrap(), State::Incomplete(record));
        for told in [resolve("w", &places).unwrap_err(), make_named("w", &places).unwrap_err()] {
            assert!(told.to_string().contains("second version of w is gone"), "{told}");
        }
    }

    #[test]
    fn what_is_damaged_is_not_made_part_of_other_data() {
        let (folder, places) = machine();
        with_recipe(&places, "w", WORST);
        let copy =
            |from| format!("command = {{ from = \"{from}\", first = [\"cp\", \"-r\", \"{{from}}\", \"{{out}}\"] }}");
        with_recipe(&places, "c", &copy("w"));
        let make_with = |name: &str, again| {
            let catalog = Catalog::load(&places).unwrap();
            make(&catalog, catalog.find(name).unwrap(), &places, again, &Watch::default())
        };
        let made = make_with("c", true).unwrap();
        let file = places.made.join("w/first/counter");
        let mut bytes = fs::read(&file).unwrap();
        bytes[77] ^= 1;
        fs::write(&file, &bytes).unwrap();
        // Nothing is made, so nothing is asked of w.
        assert_eq!(make_with("c", false).unwrap(), made);
        let told = make_with("c", true).unwrap_err().to_string();
        assert!(told.contains("c is made of w, whose first version is not what it was: its digest is "), "{told}");
        assert!(told.contains("`larder bench data make w --again`"), "{told}");
        assert_eq!(make_with("c", false).unwrap(), made);
        make_with("w", true).unwrap();
        assert_eq!(make_with("c", true).unwrap(), made);

        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        let digest = digest::of(&there, &Watch::default()).unwrap().digest;
        let path = format!("path = {{ first = \"{}\" }}\nfirst = {{ digest = \"{digest}\" }}", there.display());
        with_recipe(&places, "p", &path);
        with_recipe(&places, "d", &copy("p"));
        make_with("d", true).unwrap();
        fs::write(there.join("a"), "abc").unwrap();
        let told = make_with("d", true).unwrap_err().to_string();
        assert!(told.contains("d is made of p") && told.contains("p.toml says"), "{told}");
    }

    #[test]
    fn a_path_without_a_digest_is_held_against_nothing() {
        let (folder, places) = machine();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::write(there.join("a"), "abc").unwrap();
        let path = format!("path = {{ first = \"{0}\", second = \"{0}\" }}", there.display());
        let digest = digest::of(&there, &Watch::default()).unwrap().digest;
        with_recipe(&places, "p", &format!("{path}\nsecond = {{ digest = \"{digest}\" }}"));
        let outcomes = || verify_named("p", &places).unwrap().into_iter().map(|v| v.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(), [Outcome::NothingKnown, Outcome::Same]);
        fs::write(there.join("a"), "abd").unwrap();
        assert!(matches!(outcomes()[..], [Outcome::NothingKnown, Outcome::Differs(_)]));
        fs::remove_dir_all(&there).unwrap();
        assert!(matches!(outcomes()[..], [Outcome::Missing(_), Outcome::Missing(_)]));
    }

    #[test]
    fn a_changed_recipe_makes_it_anew_and_what_is_not_ours_stays() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", WORST);
        let first = make_named("w", &places).unwrap();
        with_recipe(&places, "w", &WORST.replace("seed = 1", "seed = 2"));
        let catalog = Catalog::load(&places).unwrap();
        assert_eq!(state(catalog.find("w").unwrap(), &places).unwrap(), State::Outdated);
        assert!(verify_named("w", &places).unwrap_err().to_string().contains("another recipe"));
        assert_ne!(make_named("w", &places).unwrap().first, first.first);

        with_recipe(&places, "x", WORST);
        fs::create_dir(places.made.join("x")).unwrap();
        fs::write(places.made.join("x/thesis"), "mine").unwrap();
        let told = make_named("x", &places).unwrap_err().to_string();
        assert!(told.contains("was not made by"), "{told}");
        assert_eq!(fs::read_to_string(places.made.join("x/thesis")).unwrap(), "mine");
    }

    #[test]
    fn a_killed_making_is_cleared_and_a_running_one_is_waited_for() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", WORST);
        let left = places.made.join(".making-w.abcdef/new");
        fs::create_dir_all(&left).unwrap();
        let other = File::create(places.made.join(".w.lock")).unwrap();
        other.lock().unwrap();
        let cancel = AtomicBool::new(true);
        let catalog = Catalog::load(&places).unwrap();
        let watch = Watch { cancel: Some(&cancel), ..Watch::default() };
        let waited = make(&catalog, catalog.find("w").unwrap(), &places, false, &watch);
        assert!(matches!(waited, Err(BenchError::Interrupted)));
        assert!(left.exists());
        drop(other);
        make_named("w", &places).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn too_little_space_is_seen_before() {
        let (_guard, places) = machine();
        let size = "first = { bytes = 3_000_000_000, files = 1 }\nsecond = { bytes = 1_000_000_000, disk = 1_000 }";
        with_recipe(&places, "w", &format!("{WORST}\n{size}"));
        let catalog = Catalog::load(&places).unwrap();
        let recipe = catalog.find("w").unwrap();
        room_for(recipe, 3_000_010_000, &places).unwrap();
        let told = room_for(recipe, 2_999_999_999, &places).unwrap_err().to_string();
        assert!(told.contains("w needs 2.79 GiB") && told.contains("--data-dir"), "{told}");
        with_recipe(&places, "x", &format!("{WORST}\nfirst = {{ bytes = 4_000_000_000_000_000_000 }}"));
        assert!(make_named("x", &places).unwrap_err().to_string().contains("x needs"));
    }

    #[test]
    fn names_that_lead_nowhere_are_told_with_what_there_is() {
        let (folder, places) = machine();
        let told = |word: &str| resolve(word, &places).unwrap_err().to_string();
        assert!(told("tinny").starts_with("tinny: neither a path nor a data set; there are kernel, "));
        assert!(told("kernel").contains("`larder bench data make kernel`"), "{}", told("kernel"));
        assert_eq!(resolve("/", &places).unwrap().path, Path::new("/"));
        let no_place = DataPlaces::default();
        assert!(resolve("tiny-small", &no_place).unwrap_err().to_string().contains("--data-dir"));

        with_recipe(&places, "gone", "path = { first = \"/no/such/data\" }");
        assert!(told("gone").contains("/no/such/data"));
        assert!(make_named("gone", &places).unwrap_err().to_string().contains("is not made"));
        let here = folder.path().display();
        with_recipe(
            &places,
            "here",
            &format!("path = {{ first = \"{here}/recipes\", second = \"{here}\" }}\nsecond = {{}}"),
        );
        let set = resolve("here", &places).unwrap();
        assert_eq!((set.path, set.second), (places.recipes[0].clone(), Some(folder.path().into())));
        assert_eq!(verify_named("here", &places).unwrap().len(), 2);
    }

    #[test]
    fn commands_make_data_of_other_data() {
        let (_guard, places) = machine();
        with_recipe(&places, "w", WORST);
        let first = "command = { from = \"w\", first = [\"sh\", \"-c\", \"cp '{from}/counter' '{out}/a'\"]";
        let second = "second = [\"sh\", \"-c\", \"cat {first}/a {first}/a > {out}/a\"]";
        with_recipe(&places, "c", &format!("{first} }}"));
        with_recipe(
            &places,
            "d",
            &format!("{} }}\nsecond = {{}}", second.replace("second =", "command = { first = [\"true\"], second =")),
        );
        let made = make_named("c", &places).unwrap();
        assert_eq!((made.first.bytes, made.second), (1 << 20, None));
        // d's first version has no a, so its second fails, and cat says why.
        let told = make_named("d", &places).unwrap_err().to_string();
        assert!(told.contains("sh failed") && told.contains("No such file"), "{told}");
        with_recipe(&places, "e", "command = { first = [\"no-such-program\"] }");
        assert!(make_named("e", &places).unwrap_err().to_string().contains("no-such-program is needed"));
        with_recipe(&places, "f", "command = { from = \"nothing\", first = [\"true\"] }");
        assert!(make_named("f", &places).unwrap_err().to_string().contains("no data set nothing"));
        with_recipe(&places, "g", "image = { from = \"w\", mib = 32 }\nsecond = {}");
        assert!(make_named("g", &places).unwrap_err().to_string().contains("w has no second version"));
    }
}
