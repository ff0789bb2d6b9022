// Routes, signing in, and what stands above every part.

import { announce, data, el, failure, replace } from "./dom.js";
import { get, onSignedOut, readSession, session, signIn, signOut } from "./api.js";
import { overview } from "./overview.js";
import { found, people } from "./people.js";
import { person } from "./person.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const find = document.getElementById("find");
const account = document.getElementById("account");
// What was asked for in the search box; it is in no URL, as it may be an address.
let asked = { kind: "custom_id", value: "" };
// Ends what the shown part has started.
let stop = () => {};

function route() {
  const [, part, argument] = location.hash.split("/");
  stop();
  stop = () => {};
  replace(main);
  document.title = "Profiles";
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.route === (part || "overview")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!session.signed_in) return showSignIn();
  switch (part || "overview") {
    case "overview": stop = overview(main); break;
    case "people": stop = people(main); break;
    case "search": stop = found(main, asked.kind, asked.value); break;
    case "person": stop = person(main, decode(argument)); break;
    default: main.append(el("h1", {}, "Not found"), el("p", {}, el("a", { href: "#/" }, "To the overview")));
  }
  if (document.activeElement === document.body) main.focus({ preventScroll: true });
}

function decode(text) {
  try {
    return decodeURIComponent(text ?? "");
  } catch {
    return "";
  }
}

function showSignIn(message) {
  for (const node of [nav, find, account]) node.hidden = true;
  const project = el("input", { id: "project", name: "project", required: true, maxlength: "63", value: session.project, autocapitalize: "off", spellcheck: "false" });
  const key = el("input", { id: "key", name: "key", type: "password", required: true, maxlength: "256", autocomplete: "off", "aria-describedby": "key-help" });
  const problem = el("div", { "aria-live": "assertive" }, message && el("p", { class: "note" }, message));
  const button = el("button", { type: "submit" }, "Sign in");
  const form = el("form", { class: "card signin" }, el("h1", {}, "Sign in"),
    el("label", { for: "project" }, "Project"), project,
    el("label", { for: "key" }, "Key"), key,
    el("p", { class: "quiet", id: "key-help" }, "A key with the scope READ, such as profilectl key create makes. It stays on the server, and the session ends after eight hours."),
    problem, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await signIn(project.value.trim(), key.value.trim());
      key.value = "";
      await start();
    } catch (error) {
      replace(problem, failure(Object.assign(error, {
        title: "You are not signed in",
        message: error.status === 401 ? "The key is not valid." : error.status === 403 ? "The key may not read this project." : error.message,
        code: undefined,
      })));
      key.focus();
      key.select();
      button.disabled = false;
    }
  });
  replace(main, form);
  (project.value ? key : project).focus();
}

async function showAccount() {
  let projects = [session.project];
  try {
    projects = (await get("projects")).projects ?? projects;
  } catch (error) {
    if (error.status === 401) return;
  }
  if (!projects.includes(session.project) && projects.length > 0) session.project = projects[0];
  const select = el("select", { id: "projects", "aria-label": "Project" }, projects.map((name) => el("option", { value: name }, name)));
  select.value = session.project;
  select.addEventListener("change", () => {
    session.project = select.value;
    announce(`Project ${session.project}`);
    if (location.hash.startsWith("#/person")) location.hash = "#/";
    else route();
  });
  replace(account, projects.length > 1 ? select : el("span", { class: "quiet" }, data(session.project)),
    !session.open && el("button", { type: "button", class: "link", title: session.key_name, onclick: leave }, "Sign out"));
}

async function leave() {
  try {
    await signOut();
  } catch {
    // The cookie is gone with the next response; here it is over in any case.
    session.signed_in = false;
  }
  route();
}

async function start() {
  if (session.signed_in) {
    await showAccount();
    for (const node of [nav, find, account]) node.hidden = false;
  }
  route();
}

find.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = document.getElementById("find-value").value.trim();
  if (!value) return;
  asked = { kind: document.getElementById("find-kind").value, value };
  if (location.hash === "#/search") route();
  else location.hash = "#/search";
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey && !find.hidden) {
    event.preventDefault();
    document.getElementById("find-value").focus();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
onSignedOut(() => {
  if (!session.signed_in) return;
  session.signed_in = false;
  stop();
  stop = () => {};
  showSignIn("Your session has ended. Sign in again to go on.");
});

try {
  await readSession();
  document.getElementById("version").textContent = `profiled ${session.version}.`;
  await start();
} catch (error) {
  replace(main, el("h1", {}, "Profiles"), failure(error, () => location.reload()));
}
