// SPDX-License-Identifier: MIT OR Apache-2.0
// Optional: filters the table, shows the details of one test at a time, and moves in the
// table by arrow keys. It reads only this document.
"use strict";
(() => {
	const one = (selector) => document.querySelector(selector);
	const all = (selector, within = document) => [...within.querySelectorAll(selector)];
	document.documentElement.classList.add("js");

	const pane = one("#pane");
	const rows = all(".matrix tbody tr");
	let chosen = null;
	let current = null;

	const linkTo = (id) => all(".matrix td a").find((link) => link.getAttribute("href") === "#" + id);

	const setCurrent = (link) => {
		if (current) {
			current.tabIndex = -1;
		}
		current = link;
		if (current) {
			current.tabIndex = 0;
		}
	};

	const close = () => {
		if (!chosen) {
			return;
		}
		chosen.classList.remove("chosen");
		chosen.open = false;
		chosen = null;
		pane.classList.remove("chosen-one");
		all("[aria-current]").forEach((link) => link.removeAttribute("aria-current"));
		history.replaceState(null, "", location.pathname + location.search);
		if (current) {
			current.focus();
		}
	};

	const choose = () => {
		const id = location.hash.slice(1);
		const target = id && document.getElementById(id);
		const article = target && target.closest(".article");
		if (!article) {
			return;
		}
		if (chosen && chosen !== article) {
			chosen.classList.remove("chosen");
			chosen.open = false;
		}
		chosen = article;
		chosen.classList.add("chosen");
		chosen.open = true;
		pane.classList.add("chosen-one");
		all("[aria-current]").forEach((link) => link.removeAttribute("aria-current"));
		const link = linkTo(id);
		if (link) {
			link.setAttribute("aria-current", "true");
			setCurrent(link);
		}
		// The browser scrolls to the target and hides the heading; this is undone two frames
		// later.
		requestAnimationFrame(() => requestAnimationFrame(() => {
			pane.scrollTop = 0;
			const work = one(".work").getBoundingClientRect();
			if (work.top < 0 || work.top > window.innerHeight / 2) {
				one(".work").scrollIntoView({ block: "start", behavior: "instant" });
			}
			if (link) {
				link.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
			}
		}));
	};

	// The text of a row and its details, without timelines and logs.
	const texts = new Map();
	const textOf = (row) => {
		if (!texts.has(row)) {
			const articles = new Set(all("td a", row).map((link) => {
				const job = document.getElementById(link.hash.slice(1));
				return job && job.closest(".article");
			}));
			let text = row.textContent + " " + row.children[0].title;
			articles.forEach((article) => {
				if (article) {
					all(".reason, .splat > summary", article).forEach((part) => {
						text += " " + part.textContent;
					});
				}
			});
			texts.set(row, text.toLowerCase());
		}
		return texts.get(row);
	};

	const value = (id) => {
		const field = one(id);
		return field ? field.value : "";
	};

	const filter = () => {
		const words = value("#filter-text").toLowerCase().split(/\s+/).filter(Boolean);
		const status = value("#filter-status");
		const config = value("#filter-config");
		const failsWithoutSeries = value("#filter-fails-without-series");
		const attention = one("#filter-attention").checked;
		all(".matrix [data-config]").forEach((place) => {
			place.hidden = config !== "" && place.dataset.config !== config;
		});
		let shown = 0;
		for (const row of rows) {
			const places = all("td[data-status]", row).filter((place) => !place.hidden);
			const fits = places.length > 0
				&& (!failsWithoutSeries || row.dataset.failsWithoutSeries === failsWithoutSeries)
				&& (!status || places.some((place) => place.dataset.status.split(" ").includes(status)))
				&& (!attention || places.some((place) => "attention" in place.dataset))
				&& words.every((word) => textOf(row).includes(word));
			row.hidden = !fits;
			shown += fits ? 1 : 0;
		}
		one(".none").hidden = shown > 0;
		one("#shown").textContent = shown === rows.length
			? rows.length + " tests"
			: shown + " of " + rows.length + " tests";
		document.body.dataset.shown = shown;
		if (!current || current.closest("[hidden]")) {
			const visible = rows.filter((row) => !row.hidden);
			const places = visible.flatMap((row) => all("td:not([hidden]) a", row));
			setCurrent(places[0] || null);
		}
	};

	const step = (key) => {
		const job = current.closest("td");
		const row = job.parentElement;
		const visible = rows.filter((one) => !one.hidden);
		const at = visible.indexOf(row);
		const column = [...row.children].indexOf(job);
		const beside = (jobs, by) => {
			for (let next = column + by; next > 0 && next < jobs.length; next += by) {
				if (!jobs[next].hidden && jobs[next].querySelector("a")) {
					return jobs[next];
				}
			}
			return null;
		};
		let next = null;
		if (key === "ArrowLeft" || key === "ArrowRight") {
			next = beside(row.children, key === "ArrowLeft" ? -1 : 1);
		} else {
			const by = key === "ArrowUp" ? -1 : 1;
			for (let index = at + by; index >= 0 && index < visible.length && !next; index += by) {
				const there = visible[index].children[column];
				next = there.querySelector("a") ? there : null;
			}
		}
		if (next) {
			setCurrent(next.querySelector("a"));
			current.focus();
			current.scrollIntoView({ block: "nearest", inline: "nearest" });
		}
	};

	document.addEventListener("keydown", (event) => {
		const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
		if (event.ctrlKey || event.metaKey || event.altKey) {
			return;
		}
		if (event.key === "Escape") {
			close();
		} else if (typing) {
			return;
		} else if (event.key === "/") {
			event.preventDefault();
			one("#filter-text").focus();
		} else if (event.key.startsWith("Arrow") && event.target === current) {
			event.preventDefault();
			step(event.key);
		}
	});

	all(".filters input, .filters select").forEach((field) => field.addEventListener("input", filter));
	one("#close").addEventListener("click", close);
	window.addEventListener("hashchange", choose);
	all(".matrix td a").forEach((link) => {
		link.tabIndex = -1;
	});
	setCurrent(one(".matrix td a"));
	filter();
	choose();
	document.body.dataset.rows = rows.length;
	document.body.dataset.jobs = all(".matrix td[data-status]").length;
})();
