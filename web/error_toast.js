// A failing node of the pack shows its sentence as a toast, with a button that goes to the node.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { words } from "./words.js";

export function showErrors() {
  const toasts = () => app.extensionManager?.toast;
  let shown = null;
  let count = 0;

  api.addEventListener("execution_start", () => {
    if (shown) toasts()?.remove?.(shown);
    shown = null;
  });
  api.addEventListener("execution_error", ({ detail }) => {
    if (!String(detail?.node_type).startsWith("Inbetween") || !toasts()?.add) return;
    const node = nodeAt(detail.node_id);
    const mark = `inbetween-error-${++count}`;
    if (shown) toasts().remove?.(shown);
    shown = {
      severity: "error",
      summary: node?.title ?? detail.node_type,
      detail: String(detail.exception_message).trim(),
      styleClass: mark,
    };
    toasts().add(shown);
    if (node) addButton(mark, () => goTo(nodeAt(detail.node_id)));
  });
}

/** A node by the id that it runs under: "7", or "12:7" for node 7 of the subgraph of node 12. */
export function nodeAt(id) {
  let graph = app.rootGraph ?? app.graph;
  let node;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part));
    graph = node?.subgraph;
  }
  return node;
}

/** Puts the button into the toast, once the page has drawn it, and the toast below the page's own general line. */
function addButton(mark, press, tries = 50) {
  const box = document.querySelector(`.${mark}`);
  if (!box) {
    if (tries) setTimeout(() => addButton(mark, press, tries - 1), 50);
    return;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "inbetween-go-to-node";
  button.textContent = words().goToNode;
  button.style.cssText =
    "margin-top:8px;padding:4px 10px;border:1px solid currentColor;border-radius:6px;background:transparent;" +
    "color:inherit;font:inherit;cursor:pointer;align-self:flex-start";
  button.addEventListener("click", press);
  (box.querySelector(".p-toast-message-text") ?? box).append(button);
  const general = document.querySelector("[data-testid='error-overlay']")?.getBoundingClientRect();
  if (general) box.style.marginTop = `${Math.max(0, general.bottom + 8 - box.getBoundingClientRect().top)}px`;
}

/** Shows a node: leaves the form of App mode, opens its subgraph, moves the view and selects it. */
function goTo(node) {
  const { canvas } = app;
  if (!node?.graph || !canvas) return;
  const workflow = app.extensionManager?.workflow?.activeWorkflow;
  if ((workflow?.activeMode ?? workflow?.initialMode) === "app") workflow.activeMode = "graph";
  if (canvas.graph !== node.graph) {
    canvas.subgraph = node.graph === (app.rootGraph ?? app.graph) ? undefined : node.graph;
    canvas.setGraph(node.graph);
  }
  const show = () => {
    canvas.centerOnNode?.(node);
    canvas.selectNode?.(node, false);
    canvas.setDirty?.(true, true);
  };
  show();
  setTimeout(show, 200); // again when the page has found its view of another graph
}
