//! Data from Debian packages: fetched by the system's package manager, held against the recipe's digest, unpacked.
//!
//! A package file that lies in the folder `packages` beside the made data sets is taken as it is, so that a machine without
//! network, or a version that has left the mirrors, is no obstacle. So is the archive of an installed package.

use super::recipe::{Package, PackageVersion};
use super::tool::Tool;
use super::tree::Version;
use super::{DataPlaces, Watch};
use crate::base::id::hex;
use crate::harness::error::BenchError;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder for package files that a person puts there.
pub const FOLDER: &str = "packages";

/// Makes `out` from the first of the versions that can be had; gives its name. `work` is an empty folder beside it.
pub fn fill(
    package: &Package,
    version: Version,
    out: &Path,
    work: &Path,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<String, BenchError> {
    let versions = if version == Version::First { &package.first } else { &package.second };
    let mut tried = vec![];
    for version in versions {
        match unpack(package, version, out, work, places, watch)? {
            Had::Unpacked => return Ok(format!("{} {}", package.name, version.version)),
            Had::Not(why) => {
                watch.say(&format!("{} {} cannot be had: {why}", package.name, version.version));
                tried.push(format!("{}: {why}", version.version));
            }
        }
    }
    let folder = places.made.join(FOLDER);
    Err(BenchError::Missing(format!(
        "none of the versions of {} that the recipe names could be had ({}): try `apt-get update`, or put the package \
         file of one of them into {}",
        package.name,
        tried.join(", "),
        folder.display()
    )))
}

enum Had {
    Unpacked,
    Not(String),
}

fn unpack(
    package: &Package,
    version: &PackageVersion,
    out: &Path,
    work: &Path,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<Had, BenchError> {
    let root = work.join("package");
    let archive = match installed(package, version, watch)? {
        Some(archive) => {
            watch.say(&format!("{} {} is installed", package.name, version.version));
            Some(archive)
        }
        None => {
            let deb = match kept(package, version, &places.made.join(FOLDER))? {
                Some(deb) => deb,
                None => match fetch(package, version, work, watch)? {
                    Ok(deb) => deb,
                    Err(why) => return Ok(Had::Not(why)),
                },
            };
            check(&deb, version.deb_sha256.as_deref(), watch)?;
            Tool::new("dpkg-deb", "dpkg", &package.name)?.arg("-x").arg(&deb).arg(&root).must(watch)?;
            let archive = package.archive.as_ref().map(|archive| root.join(archive));
            if let Some(archive) = &archive {
                check(archive, version.archive_sha256.as_deref(), watch)?;
            }
            archive
        }
    };
    let content = match archive {
        None => root.clone(),
        Some(archive) => {
            watch.say(&format!("unpacking {} {}", package.name, version.version));
            let content = work.join("content");
            fs::create_dir(&content).map_err(BenchError::io("make", &content))?;
            let mut tar = Tool::new("tar", "tar", &package.name)?;
            tar.args(["--no-same-owner", "-xf"]).arg(&archive).arg("-C").arg(&content).must(watch)?;
            content
        }
    };
    let content = package.folder.as_ref().map_or(content.clone(), |folder| content.join(folder));
    fs::rename(&content, out).map_err(BenchError::io("find in the package", &content))?;
    Ok(Had::Unpacked)
}

/// The archive of this very version, when it is installed.
fn installed(package: &Package, version: &PackageVersion, watch: &Watch<'_>) -> Result<Option<PathBuf>, BenchError> {
    let (Some(archive), Some(expected)) = (&package.archive, &version.archive_sha256) else { return Ok(None) };
    let path = Path::new("/").join(archive);
    // One that cannot be read is as good as none.
    if !path.is_file() || File::open(&path).is_err() {
        return Ok(None);
    }
    Ok((sha256(&path, watch)? == *expected).then_some(path))
}

/// The package file that a person put into the folder: `NAME_VERSION_ARCHITECTURE.deb`, as package managers call them.
fn kept(package: &Package, version: &PackageVersion, folder: &Path) -> Result<Option<PathBuf>, BenchError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    find(folder, &format!("{}_{}_", package.name, version.version.replace(':', "%3a")))
}

fn find(folder: &Path, prefix: &str) -> Result<Option<PathBuf>, BenchError> {
    for entry in folder.read_dir().map_err(BenchError::io("list", folder))? {
        let path = entry.map_err(BenchError::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.starts_with(prefix) && name.ends_with(".deb") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Lets the package manager fetch the file, or says why it did not.
fn fetch(
    package: &Package,
    version: &PackageVersion,
    work: &Path,
    watch: &Watch<'_>,
) -> Result<Result<PathBuf, String>, BenchError> {
    watch.say(&format!("fetching {} {}", package.name, version.version));
    let folder = work.join("fetched");
    if !folder.exists() {
        fs::create_dir(&folder).map_err(BenchError::io("make", &folder))?;
    }
    let mut apt = match Tool::new("apt-get", "", &package.name) {
        Ok(apt) => apt,
        Err(_) => return Ok(Err("apt-get is not here".into())),
    };
    let wanted = format!("{}={}", package.name, version.version);
    let said = apt.args(["-q", "download", &wanted]).folder(&folder).run(watch)?;
    let found = find(&folder, &format!("{}_{}_", package.name, version.version.replace(':', "%3a")))?;
    Ok(match found {
        Some(deb) if said.status.success() => Ok(deb),
        _ => Err(said.last()),
    })
}

fn check(path: &Path, expected: Option<&str>, watch: &Watch<'_>) -> Result<(), BenchError> {
    let Some(expected) = expected else { return Ok(()) };
    let found = sha256(path, watch)?;
    if found == expected {
        return Ok(());
    }
    let path = path.display();
    Err(BenchError::NotMeasured(format!("{path} has the SHA-256 {found}; the recipe says {expected}")))
}

fn sha256(path: &Path, watch: &Watch<'_>) -> Result<String, BenchError> {
    let mut file = File::open(path).map_err(BenchError::io("read", path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        watch.poll()?;
        match file.read(&mut buffer).map_err(BenchError::io("read", path))? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with an archive in it, put into the folder where a person puts them.
    fn with_package(places: &DataPlaces, scratch: &Path) -> PathBuf {
        let run = |tool: &str, args: &[&str]| {
            Tool::new(tool, tool, "a test").unwrap().folder(scratch).args(args).must(&Watch::default()).unwrap();
        };
        fs::create_dir_all(scratch.join("tree/inner")).unwrap();
        fs::write(scratch.join("tree/inner/file"), "content").unwrap();
        fs::create_dir_all(scratch.join("root/DEBIAN")).unwrap();
        fs::create_dir_all(scratch.join("root/usr/share/nothing")).unwrap();
        run("tar", &["-cf", "root/usr/share/nothing/data.tar", "tree"]);
        let control =
            "Package: nothing\nVersion: 1-2\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n";
        fs::write(scratch.join("root/DEBIAN/control"), control).unwrap();
        fs::create_dir_all(places.made.join(FOLDER)).unwrap();
        let deb = places.made.join(FOLDER).join("nothing_1-2_all.deb");
        run("dpkg-deb", &["-b", "root", deb.to_str().unwrap()]);
        deb
    }

    #[test]
    fn a_package_is_taken_where_it_lies_checked_and_unpacked() {
        if !crate::lacks::has_tools(&["dpkg-deb"]) {
            return;
        }
        let (folder, watch) = (tempfile::tempdir().unwrap(), Watch::default());
        let places = DataPlaces { made: folder.path().join("made"), recipes: vec![] };
        let deb = with_package(&places, &folder.path().join("scratch"));
        let sha = sha256(&deb, &watch).unwrap();
        let version = |version: &str, sha: &str| PackageVersion {
            version: version.into(),
            deb_sha256: Some(sha.into()),
            archive_sha256: None,
        };
        let mut package = Package {
            name: "nothing".into(),
            archive: Some("usr/share/nothing/data.tar".into()),
            folder: Some("tree/inner".into()),
            // The first of them is nowhere.
            first: vec![version("9-9", &sha), version("1-2", &sha)],
            second: vec![],
        };
        let fill = |package: &Package, name: &str| {
            let (out, work) = (folder.path().join(name), folder.path().join(format!("{name}-work")));
            fs::create_dir(&work).unwrap();
            fill(package, Version::First, &out, &work, &places, &watch).map(|made_from| (made_from, out))
        };
        let (made_from, out) = fill(&package, "a").unwrap();
        assert_eq!(made_from, "nothing 1-2");
        assert_eq!(fs::read_to_string(out.join("file")).unwrap(), "content");

        package.first = vec![version("1-2", &"0".repeat(64))];
        let told = fill(&package, "b").unwrap_err().to_string();
        assert!(told.contains("nothing_1-2_all.deb has the SHA-256") && told.contains("0000"), "{told}");
        package.first = vec![version("9-9", &sha)];
        let told = fill(&package, "c").unwrap_err().to_string();
        assert!(told.contains("could be had (9-9: ") && told.contains("made/packages"), "{told}");
        package.first = vec![version("1-2", &sha)];
        package.folder = Some("elsewhere".into());
        let told = fill(&package, "d").unwrap_err().to_string();
        assert!(told.contains("cannot find in the package") && told.contains("elsewhere"), "{told}");
    }
}
