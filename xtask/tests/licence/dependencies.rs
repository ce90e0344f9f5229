// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks all dependencies against `deny.toml`, as `cargo deny check licenses bans sources`
//! does: licence expressions, sources, wildcard versions and denied names.
//!
//! Advisories are not looked up. The RustSec database is a git repository that has to be
//! fetched, and this check runs without a network; only the names under `[bans] deny` are
//! known here. Run `cargo deny check advisories` for the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use super::{assert_none, output_of, root};

/// `deny.toml`. A provenance of cargo-deny that is not checked here is an error, so that
/// nobody relies on it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    graph: Graph,
    /// For cargo-deny only.
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exempt>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exempt {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    /// For cargo-deny only.
    #[serde(rename = "multiple-versions")]
    _multiple_versions: String,
    wildcards: Deny,
    allow_wildcard_paths: Always,
    deny: Vec<Denied>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Deny,
    unknown_git: Deny,
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

/// The only lint level that this check knows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deny {
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "bool")]
struct Always;

impl TryFrom<bool> for Always {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        value.then_some(Self).ok_or("must be `true`")
    }
}

/// What `cargo metadata` prints, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None for a package that is found by its path.
    source: Option<String>,
    dependencies: Vec<Requirement>,
}

#[derive(Debug, Deserialize)]
struct Requirement {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    /// None for a normal dependency.
    kind: Option<String>,
}

impl Metadata {
    /// Returns the packages that the workspace is built from: its members and their
    /// normal and build dependencies. All others are used by tests only.
    fn product(&self) -> BTreeSet<&str> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut product = BTreeSet::new();
        let mut open: Vec<&str> = self.workspace_members.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if !product.insert(id) {
                continue;
            }
            let is_linked = |edge: &&Edge| {
                let mut kinds = edge.dep_kinds.iter();
                kinds.any(|kind| kind.kind.as_deref() != Some("dev"))
            };
            let deps = nodes[id].deps.iter().filter(is_linked);
            open.extend(deps.map(|edge| edge.pkg.as_str()));
        }
        product
    }
}

fn parse_policy(text: &str) -> Result<Policy, String> {
    let policy: Policy = toml::from_str(text).map_err(|error| error.to_string())?;
    match policy.sources.allow_git.first() {
        Some(url) => Err(format!("`{url}` is a git repository, use a release of it")),
        None => Ok(policy),
    }
}

/// Returns what is wrong, a line for each package and rule.
fn problems(metadata: &Metadata, policy: &Policy) -> Vec<String> {
    // Their only level is `deny`, so there is nothing to distinguish.
    let Bans {
        wildcards: Deny::Deny,
        allow_wildcard_paths: Always,
        ..
    } = policy.bans;
    let Sources {
        unknown_registry: Deny::Deny,
        unknown_git: Deny::Deny,
        ..
    } = policy.sources;
    let product = metadata.product();
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        let is_member = metadata.workspace_members.contains(&package.id);
        let is_linked = product.contains(package.id.as_str());
        let mut problem = |text: String| problems.push(format!("{name}: {text}"));
        if let Err(why) = check_licence(package, is_linked, &policy.licenses) {
            problem(why);
        }
        if !is_member {
            match package.source.as_deref() {
                Some(source) if is_allowed(source, &policy.sources) => {}
                Some(source) => problem(format!("`{source}` is not an allowed registry")),
                None => problem("it comes from a folder outside the workspace".to_owned()),
            }
        }
        for requirement in &package.dependencies {
            if requirement.path.is_none() && requirement.req.contains('*') {
                let Requirement { name, req, .. } = requirement;
                problem(format!("its dependency `{name}` has the version `{req}`"));
            }
        }
        let denied = policy.bans.deny.iter();
        for one in denied.filter(|one| one.name == package.name) {
            problem(format!("denied by deny.toml: {}", one.reason));
        }
    }
    for exempt in &policy.licenses.exceptions {
        let mut packages = metadata.packages.iter();
        if !packages.any(|package| package.name == exempt.name) {
            problems.push(format!("deny.toml: no package `{}` is used", exempt.name));
        }
    }
    problems
}

fn is_allowed(source: &str, sources: &Sources) -> bool {
    source
        .strip_prefix("registry+")
        .is_some_and(|url| sources.allow_registry.iter().any(|allowed| allowed == url))
}

/// Checks that the licence expression is satisfied by the allowed licences alone.
/// An exception counts only for a package that is not linked into the product.
fn check_licence(package: &Package, is_linked: bool, licenses: &Licenses) -> Result<(), String> {
    let exempt = licenses.exceptions.iter();
    let exempt = exempt.filter(|one| one.name == package.name && !is_linked);
    let allowed = licenses
        .allow
        .iter()
        .chain(exempt.flat_map(|one| &one.allow))
        .map(|licence| Licensee::parse(licence).map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(licence) = &package.license else {
        return Err("it has no licence expression".to_owned());
    };
    // crates.io still has `MIT/Apache-2.0`, from before SPDX expressions.
    let mode = ParseMode {
        allow_slash_as_or_operator: true,
        ..ParseMode::STRICT
    };
    let expression = Expression::parse_mode(licence, mode)
        .map_err(|error| format!("`{licence}` is not an SPDX expression: {}", error.reason))?;
    if expression.evaluate(|req| allowed.iter().any(|licensee| licensee.satisfies(req))) {
        return Ok(());
    }
    let user = if is_linked { "the tool" } else { "tests" };
    Err(format!("its licence `{licence}` is not allowed for {user}"))
}

#[test]
fn dependencies_satisfy_deny_toml() {
    let policy = fs_err::read_to_string(root().join("deny.toml")).unwrap();
    let policy = parse_policy(&policy).unwrap();
    let mut args = vec![
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--all-features",
    ];
    for target in &policy.graph.targets {
        args.extend(["--filter-platform", target]);
    }
    let metadata = output_of(env!("CARGO"), &args);
    let metadata: Metadata = serde_json::from_slice(&metadata).unwrap();
    // An empty list would satisfy every rule.
    assert!(metadata.product().len() > 50);
    assert!(metadata.packages.len() > metadata.product().len());
    assert_none(&problems(&metadata, &policy));
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn policy() -> Policy {
        parse_policy(
            r#"
            [graph]
            targets = []
            [advisories]
            [licenses]
            allow = ["MIT", "Unicode-3.0", "BSD-3-Clause"]
            exceptions = [{ crate = "checker", allow = ["Apache-2.0"] }]
            [bans]
            multiple-versions = "warn"
            wildcards = "deny"
            allow-wildcard-paths = true
            deny = [{ crate = "atty", reason = "RUSTSEC-2021-0145" }]
            [sources]
            unknown-registry = "deny"
            unknown-git = "deny"
            allow-registry = ["https://github.com/rust-lang/crates.io-index"]
            allow-git = []
            "#,
        )
        .unwrap()
    }

    /// A workspace of `tool`, which depends on `library`, and by its tests on `checker`.
    fn metadata() -> serde_json::Value {
        let package = |name: &str, source: Option<&str>, license: &str| {
            serde_json::json!({
                "id": name, "name": name, "version": "1.0.0", "license": license,
                "source": source, "dependencies": [],
            })
        };
        let edge = |name: &str, kind: Option<&str>| serde_json::json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        serde_json::json!({
            "packages": [
                package("tool", None, "MIT"),
                package("library", Some(REGISTRY), "Apache-2.0/MIT"),
                package("checker", Some(REGISTRY), "Apache-2.0"),
            ],
            "workspace_members": ["tool"],
            "resolve": {"nodes": [
                {"id": "tool", "deps": [edge("library", None), edge("checker", Some("dev"))]},
                {"id": "library", "deps": []},
                {"id": "checker", "deps": []},
            ]},
        })
    }

    fn problems_of(metadata: serde_json::Value) -> Vec<String> {
        problems(&serde_json::from_value(metadata).unwrap(), &policy())
    }

    #[test]
    fn problems_of_allowed_dependencies_are_none() {
        assert!(problems_of(metadata()).is_empty());
    }

    #[test]
    fn problems_names_a_licence_that_is_not_allowed() {
        let cases = [
            ("GPL-3.0-only", false),
            ("Apache-2.0", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 OR MIT AND GPL-3.0-only", false),
            ("MIT WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("MIT or anything", false),
        ];
        for (licence, is_allowed) in cases {
            let mut metadata = metadata();
            metadata["packages"][1]["license"] = licence.into();
            let problems = problems_of(metadata);
            assert_eq!(problems.is_empty(), is_allowed, "{licence}: {problems:?}");
            let is_named = |problem: &String| problem.starts_with("library 1.0.0: ");
            assert!(problems.iter().all(is_named), "{problems:?}");
        }
    }

    #[test]
    fn problems_names_a_package_without_licence() {
        let mut metadata = metadata();
        metadata["packages"][1]["license"] = serde_json::Value::Null;
        let expected = ["library 1.0.0: it has no licence expression"];
        assert_eq!(problems_of(metadata), expected);
    }

    #[test]
    fn problems_refuses_an_exception_for_a_linked_package() {
        for kind in [None, Some("build")] {
            let mut metadata = metadata();
            metadata["resolve"]["nodes"][0]["deps"][1]["dep_kinds"][0]["kind"] = kind.into();
            let expected = ["checker 1.0.0: its licence `Apache-2.0` is not allowed for the tool"];
            assert_eq!(problems_of(metadata), expected);
        }
    }

    #[test]
    fn problems_names_other_sources_than_the_registry() {
        let sources = [
            "git+https://example.org/library",
            "registry+https://example.org/index",
        ];
        for source in sources {
            let mut metadata = metadata();
            metadata["packages"][1]["source"] = source.into();
            let expected = format!("library 1.0.0: `{source}` is not an allowed registry");
            assert_eq!(problems_of(metadata), [expected]);
        }
        let mut metadata = metadata();
        metadata["packages"][1]["source"] = serde_json::Value::Null;
        let expected = ["library 1.0.0: it comes from a folder outside the workspace"];
        assert_eq!(problems_of(metadata), expected);
    }

    #[test]
    fn problems_names_a_wildcard_version_but_not_of_a_path() {
        for (version, path, is_allowed) in [
            ("*", None, false),
            ("1.*", None, false),
            ("^1", None, true),
            ("*", Some("library"), true),
        ] {
            let mut metadata = metadata();
            metadata["packages"][0]["dependencies"] =
                serde_json::json!([{"name": "library", "req": version, "path": path}]);
            assert_eq!(problems_of(metadata).is_empty(), is_allowed, "{version}");
        }
    }

    #[test]
    fn problems_names_a_denied_package() {
        let mut metadata = metadata();
        metadata["packages"][1]["name"] = "atty".into();
        let expected = ["atty 1.0.0: denied by deny.toml: RUSTSEC-2021-0145"];
        assert_eq!(problems_of(metadata), expected);
    }

    #[test]
    fn problems_names_an_exception_that_nothing_needs() {
        let mut metadata = metadata();
        metadata["packages"][2]["name"] = "other".into();
        metadata["packages"][2]["license"] = "MIT".into();
        let expected = ["deny.toml: no package `checker` is used"];
        assert_eq!(problems_of(metadata), expected);
    }

    #[test]
    fn parse_policy_rejects_settings_that_are_not_checked() {
        let text = fs_err::read_to_string(root().join("deny.toml")).unwrap();
        assert!(parse_policy(&text).is_ok());
        for (from, to) in [
            ("[licenses]", "[licenses]\nconfidence-threshold = 0.5"),
            ("unknown-git = \"deny\"", "unknown-git = \"allow\""),
            ("allow-git = []", "allow-git = [\"https://example.org\"]"),
            (
                "allow-wildcard-paths = true",
                "allow-wildcard-paths = false",
            ),
            ("crate = \"atty\"", "name = \"atty\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(parse_policy(&changed).is_err(), "{to}");
        }
    }
}
