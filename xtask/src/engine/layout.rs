// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folders of data and of runs.
//!
//! `cargo xtask` uses the data of the checkout; an installed program unpacks its built-in data
//! into the cache. `--data` and `PATCHBED_DATA` override both.

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use patchbed_host::cache::Cache;
use patchbed_host::files::listing;
use selftests::catalogue::MANIFEST;

use crate::engine::builtin;
use crate::engine::program;
use crate::exit::bad_input;

/// The variable that names the data folder if `--data` is not given.
pub const DATA_VARIABLE: &str = "PATCHBED_DATA";
/// The folder of the catalogues, in the data.
const CATALOGUES: &str = "selftests/catalogues";
/// The catalogue that is used without `--catalogue`.
pub(crate) const DEFAULT_CATALOGUE: &str = "liveupdate-pci";
/// Folders that the data must contain.
const DATA_FOLDERS: [&str; 5] = [
    "kernel-patches",
    "selftests/catalogues",
    "selftests/core",
    "vm-images/config",
    "vm-images/machines",
];

/// The options that select data.
#[derive(Args, Clone, Debug, Default)]
pub struct DataArgs {
    /// Folder with series, catalogues, machines and configs, laid out as in a checkout of
    /// patchbed [env: PATCHBED_DATA] [default: the checkout for `cargo xtask`, the
    /// built-in data otherwise]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<Utf8PathBuf>,

    /// Catalogue of scenarios: a folder with a file `catalogue.yaml`, or the name of a
    /// catalogue of the data [default: liveupdate-pci]
    #[arg(long, value_name = "DIR", global = true)]
    pub catalogue: Option<Utf8PathBuf>,
}

/// The folders that commands use.
#[derive(Clone, Debug)]
pub struct Layout {
    data: Utf8PathBuf,
    /// Whether the user named the data.
    is_given: bool,
    /// The folder of the catalogue, if it is not the default.
    catalogue: Option<Utf8PathBuf>,
    /// Whether a finished run named the catalogue, and not the user.
    is_of_run: bool,
    checkout: Option<Utf8PathBuf>,
    /// `None` if no variable names a folder.
    state: Option<Utf8PathBuf>,
}

impl Layout {
    /// Returns the layout of this program, with the data folder and the catalogue of the
    /// options, if any.
    ///
    /// # Errors
    /// When the given folder has no data, the built-in data cannot be unpacked, or there is no
    /// such catalogue.
    pub fn find(data: &DataArgs, cache: &Cache) -> anyhow::Result<Self> {
        let checkout = program::checkout().map(Utf8Path::to_owned);
        let variable = match std::env::var(DATA_VARIABLE) {
            Err(std::env::VarError::NotUnicode(value)) => {
                return Err(bad_input(
                    format!(
                        "cannot use `{DATA_VARIABLE}`: `{}` is not UTF-8",
                        value.display()
                    ),
                    "give a path in UTF-8",
                ));
            }
            other => other.unwrap_or_default(),
        };
        let variable = Some(Utf8Path::new(&variable)).filter(|path| *path != "");
        let given = data.data.as_deref().or(variable);
        let layout = Self {
            data: match (given, &checkout) {
                (Some(given), _) => check_data(given)?,
                (None, Some(checkout)) => checkout.clone(),
                (None, None) => builtin::data(cache)?,
            },
            is_given: given.is_some(),
            catalogue: None,
            is_of_run: false,
            state: match &checkout {
                Some(checkout) => Some(checkout.join("target/patchbed")),
                None => state_from(|name| std::env::var(name).ok()),
            },
            checkout,
        };
        match &data.catalogue {
            Some(name) => layout.with_catalogue(name),
            None => Ok(layout),
        }
    }

    /// Returns the layouts of the chosen catalogue, or of all catalogues of the data.
    ///
    /// # Errors
    /// When the folder of the catalogues cannot be read.
    pub fn each_catalogue(&self) -> anyhow::Result<Vec<Self>> {
        if self.catalogue.is_some() {
            return Ok(vec![self.clone()]);
        }
        let folders = listing(&self.data.join(CATALOGUES))?.into_iter();
        let folders = folders.filter(|folder| folder.join(MANIFEST).is_file());
        let layouts = folders.map(|folder| Self {
            catalogue: Some(folder),
            ..self.clone()
        });
        Ok(layouts.collect())
    }

    /// Returns the layout with another catalogue: a folder, or the name of a catalogue of the
    /// data.
    ///
    /// # Errors
    /// When there is no such catalogue.
    pub fn with_catalogue(self, name: &Utf8Path) -> anyhow::Result<Self> {
        let known = self.data.join(CATALOGUES);
        // A word is a name first: a folder with the same name may be in the current folder.
        let is_word = name.components().count() == 1 && name.file_name().is_some();
        let folders = [is_word.then(|| known.join(name)), Some(name.to_owned())];
        let is_catalogue = |folder: &Utf8PathBuf| folder.join(MANIFEST).is_file();
        let Some(folder) = folders.into_iter().flatten().find(is_catalogue) else {
            let names = listing(&known)?;
            let names: Vec<&str> = names.iter().filter_map(|path| path.file_name()).collect();
            return Err(bad_input(
                format!("`{name}` is neither a catalogue nor a folder with `{MANIFEST}`"),
                format!(
                    "give a folder with `{MANIFEST}`, or one of: {}",
                    names.join(", ")
                ),
            ));
        };
        Ok(Self {
            catalogue: Some(folder.canonicalize_utf8()?),
            ..self
        })
    }

    /// Returns the layout of the checkout that a test was built in.
    #[cfg(test)]
    pub fn of_this_checkout() -> Self {
        let checkout = program::checkout().expect("cargo runs tests in a checkout");
        Self::at(checkout.to_owned())
    }

    /// Returns the layout of a checkout at `root` without checks.
    pub fn at(root: Utf8PathBuf) -> Self {
        Self {
            data: root.clone(),
            is_given: false,
            catalogue: None,
            is_of_run: false,
            state: Some(root.join("target/patchbed")),
            checkout: Some(root),
        }
    }

    /// Returns the top folder of the checkout, for a command that works on its files.
    ///
    /// # Errors
    /// When the program is installed, or other data is given.
    pub fn checkout(&self, command: &str) -> anyhow::Result<&Utf8Path> {
        match &self.checkout {
            None => Err(bad_input(
                format!("`{command}` works only in a checkout of patchbed"),
                format!("run `cargo xtask {command}` in a checkout"),
            )),
            Some(_) if self.is_given => Err(bad_input(
                format!(
                    "`{command}` works on the files of the checkout, not on `{}`",
                    self.data
                ),
                format!("omit `--data` and unset `{DATA_VARIABLE}`"),
            )),
            Some(root) => Ok(root),
        }
    }

    /// Returns the top folder of the checkout, if cargo runs this program in a checkout.
    pub fn own_checkout(&self) -> Option<&Utf8Path> {
        self.checkout.as_deref()
    }

    /// Returns whether the data is part of the checkout.
    pub fn is_of_checkout(&self) -> bool {
        self.checkout.is_some() && !self.is_given
    }

    /// Returns whether the user may edit the catalogue, so that new snapshots are written
    /// beside the old: it is in the checkout, or outside of the data.
    pub fn owns_catalogue(&self) -> bool {
        let catalogue = self.catalogue.as_ref();
        let is_outside = catalogue.is_some_and(|folder| !folder.starts_with(&self.data));
        match is_outside {
            true => !self.is_of_run,
            false => self.is_of_checkout(),
        }
    }

    /// Returns the options that select the same data and catalogue.
    pub fn data_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.is_given {
            options.extend(["--data".to_owned(), self.data.to_string()]);
        }
        if self.catalogue.is_some() {
            let name = self.catalogue_name().to_string();
            options.extend(["--catalogue".to_owned(), name]);
        }
        options
    }

    /// Returns whether the catalogue is the one that is used without `--catalogue`.
    pub fn is_default_catalogue(&self) -> bool {
        self.catalogue_name() == DEFAULT_CATALOGUE
    }

    /// Returns the catalogue as a value of `--catalogue`: a name, or an absolute path.
    pub fn catalogue_name(&self) -> &Utf8Path {
        let Some(folder) = self.catalogue.as_deref() else {
            return Utf8Path::new(DEFAULT_CATALOGUE);
        };
        let known = folder.strip_prefix(self.data.join(CATALOGUES));
        known.unwrap_or(folder)
    }

    /// Returns the layout for the catalogue of a finished run, unless the user names another.
    /// The run may belong to somebody else, so its catalogue is not written to.
    ///
    /// # Errors
    /// When there is no such catalogue.
    pub fn for_run(self, catalogue: &Utf8Path) -> anyhow::Result<Self> {
        if self.catalogue.is_some() {
            return Ok(self);
        }
        let is_known = self.data.join(CATALOGUES).join(catalogue).is_dir();
        if !catalogue.is_absolute() && !is_known {
            return Err(bad_input(
                format!("the run is of the catalogue `{catalogue}`, which does not exist"),
                "name its folder with `--catalogue`",
            ));
        }
        Ok(Self {
            is_of_run: true,
            ..self.with_catalogue(catalogue)?
        })
    }

    /// Returns a note for the user of an installed program in a checkout, whose files are not
    /// used.
    pub fn note(&self, folder: &Utf8Path) -> Option<String> {
        if self.checkout.is_some() || self.is_given {
            return None;
        }
        let checkout = program::checkout_around(folder)?;
        Some(format!(
            "using the built-in data; to use the files of `{checkout}`, run `cargo xtask` or give \
             `--data {checkout}`"
        ))
    }

    /// Returns the origin of the data, as printed.
    pub fn origin(&self) -> String {
        match (self.is_given, self.is_of_checkout()) {
            (true, _) => format!("given: `{}`", self.data),
            (_, true) => format!("checkout `{}`", self.data),
            _ => format!("built in, unpacked to `{}`", self.data),
        }
    }

    /// Returns a path as printed: relative to the top folder, if it is in the checkout.
    pub fn shown<'a>(&self, path: &'a Utf8Path) -> &'a Utf8Path {
        let root = self.checkout.as_ref();
        root.and_then(|root| path.strip_prefix(root).ok())
            .unwrap_or(path)
    }

    /// Returns the folder with the known series.
    pub fn series(&self) -> Utf8PathBuf {
        self.data.join("kernel-patches")
    }

    /// Returns the folder with the kernel configurations.
    pub fn configs(&self) -> Utf8PathBuf {
        self.data.join("vm-images/config")
    }

    /// Returns the folder with the machines.
    pub fn machines(&self) -> Utf8PathBuf {
        self.data.join("vm-images/machines")
    }

    /// Returns the folder with the sources of the fault injection.
    pub fn faults(&self) -> Utf8PathBuf {
        self.data.join("selftests/src/fault")
    }

    /// Returns the folder with the verbs and C functions of every catalogue.
    pub fn core(&self) -> Utf8PathBuf {
        self.data.join("selftests/core")
    }

    /// Returns the folder of the catalogue.
    pub fn catalogue(&self) -> Utf8PathBuf {
        let default = || self.data.join(CATALOGUES).join(DEFAULT_CATALOGUE);
        self.catalogue.clone().unwrap_or_else(default)
    }

    /// Returns the folder with the data about kselftests of the tree.
    pub fn kselftest(&self) -> Utf8PathBuf {
        self.data.join("selftests/kselftest")
    }

    /// Returns the folder with the snapshots of results.
    pub fn snapshots(&self) -> Utf8PathBuf {
        self.catalogue().join("snapshots")
    }

    /// Returns the folder of all run folders.
    ///
    /// # Errors
    /// When no variable names a folder.
    pub fn runs(&self) -> anyhow::Result<Utf8PathBuf> {
        self.state("runs")
    }

    /// Returns a folder for persistent files of commands.
    ///
    /// # Errors
    /// When no variable names a folder.
    pub fn state(&self, name: &str) -> anyhow::Result<Utf8PathBuf> {
        match &self.state {
            Some(state) => Ok(state.join(name)),
            None => Err(bad_input(
                "cannot choose a folder for runs: neither `XDG_STATE_HOME` nor `HOME` is absolute",
                "set one of them to an absolute path, or give `--out`",
            )),
        }
    }
}

/// Returns the folder for persistent files. Relative paths are ignored, as the XDG base
/// directory specification demands.
fn state_from(var: impl Fn(&str) -> Option<String>) -> Option<Utf8PathBuf> {
    let absolute = |name: &str| {
        let path = Utf8PathBuf::from(var(name)?);
        path.is_absolute().then_some(path)
    };
    let home = || Some(absolute("HOME")?.join(".local/state"));
    Some(absolute("XDG_STATE_HOME").or_else(home)?.join("patchbed"))
}

fn check_data(folder: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    if let Some(part) = DATA_FOLDERS.iter().find(|part| !folder.join(part).is_dir()) {
        return Err(bad_input(
            format!("`{folder}` is not a patchbed data folder: it has no `{part}`"),
            format!(
                "give a checkout of patchbed, or a folder with {}",
                DATA_FOLDERS.join(", ")
            ),
        ));
    }
    Ok(folder.canonicalize_utf8()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, exit_for};

    fn state(vars: &[(&str, &str)]) -> Option<Utf8PathBuf> {
        state_from(|name| {
            let mut vars = vars.iter();
            let found = vars.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn state_is_below_the_first_absolute_path() {
        let home = ("HOME", "/h");
        assert_eq!(state(&[home]).unwrap(), "/h/.local/state/patchbed");
        let named = state(&[home, ("XDG_STATE_HOME", "/s")]).unwrap();
        assert_eq!(named, "/s/patchbed");
        let relative = state(&[home, ("XDG_STATE_HOME", "s")]).unwrap();
        assert_eq!(relative, "/h/.local/state/patchbed");
        assert_eq!(state(&[("HOME", "")]), None);
    }

    #[test]
    fn check_data_refuses_a_folder_without_machines_and_names_them() {
        let place = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(place.path()).unwrap();
        for part in DATA_FOLDERS {
            let error = check_data(root).unwrap_err();
            assert_eq!(exit_for(&error), Exit::Input);
            assert!(
                error.to_string().contains(&format!("it has no `{part}`")),
                "{error}"
            );
            fs_err::create_dir_all(root.join(part)).unwrap();
        }
        assert_eq!(check_data(root).unwrap(), root.canonicalize_utf8().unwrap());
    }

    #[test]
    fn checkout_refuses_an_installed_program_and_other_data() {
        let own = Layout::at("/checkout".into());
        assert_eq!(own.checkout("ci").unwrap(), "/checkout");
        assert_eq!(own.shown("/checkout/target/x".into()), "target/x");
        let other = Layout {
            is_given: true,
            ..own.clone()
        };
        let installed = Layout {
            checkout: None,
            ..own
        };
        assert_eq!(
            installed.shown("/checkout/target/x".into()),
            "/checkout/target/x"
        );
        for layout in [other, installed] {
            assert!(!layout.is_of_checkout());
            let error = layout.checkout("ci").unwrap_err();
            assert_eq!(exit_for(&error), Exit::Input);
        }
    }
}
