// The values of a node's widgets and the nodes at its inputs, through subgraphs and reroutes.

import { app } from "../../scripts/app.js";

const SWITCHED_OFF = [2, 4]; // the page's modes: muted, bypassed

export const isOff = (node) => SWITCHED_OFF.includes(node?.mode);

const linkOf = (graph, id) => (id == null ? null : (graph?.getLink?.(id) ?? graph?.links?.get?.(id) ?? graph?.links?.[id]));

function* everyNode(graph) {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    yield node;
    if (node.subgraph) yield* everyNode(node.subgraph);
  }
}

/** The node that uses a subgraph, if it is the only one. */
function userOf(graph) {
  const root = app.rootGraph ?? app.graph;
  const users = [...everyNode(root)].filter((node) => node.subgraph === graph);
  return users.length === 1 ? users[0] : null;
}

const fromOutside = (graph, link) => graph?.inputNode != null && link.origin_id === graph.inputNode.id;

/** The widget that holds a node's value: its own, or the one of the subgraph that shows it; null if a link brings it. */
export function widgetOf(node, name) {
  const link = linkOf(node.graph, node.inputs?.find((input) => input.widget?.name === name)?.link);
  if (!link) return node.widgets?.find((widget) => widget.name === name) ?? null;
  if (!fromOutside(node.graph, link)) return null;
  const user = userOf(node.graph);
  return user && widgetOf(user, node.graph.inputs[link.origin_slot]?.name);
}

/** A node's value, also where a node with a single value brings it; undefined where it is not known before a run. */
export function valueOf(node, name) {
  const widget = widgetOf(node, name);
  if (widget) return widget.value;
  const input = node.inputs?.find((item) => item.widget?.name === name);
  const origin = input && originOf(node, input);
  const values = origin?.widgets?.filter((item) => item.name === "value") ?? [];
  return values.length === 1 && !isOff(origin) ? values[0].value : undefined;
}

/** Sets a widget as a person does. */
export function setValue(widget, value) {
  widget.value = value;
  widget.callback?.(value);
}

/** The node that feeds an input, beyond reroutes and the edges of subgraphs; undefined if none does. */
export function originOf(node, input, deep = 0) {
  const link = linkOf(node?.graph, input?.link);
  if (!link || deep > 50) return undefined;
  if (fromOutside(node.graph, link)) {
    const user = userOf(node.graph);
    const name = node.graph.inputs[link.origin_slot]?.name;
    return originOf(user, user?.inputs?.find((item) => item.name === name), deep + 1);
  }
  const origin = node.graph.getNodeById(link.origin_id);
  return origin?.type === "Reroute" ? originOf(origin, origin.inputs?.[0], deep + 1) : origin;
}

/** The inputs of Storyboard that have a link, in their order, each with the node that feeds it. */
export function pictureSources(node) {
  const linked = (node.inputs ?? []).filter((input) => input.name.startsWith("pictures.") && input.link != null);
  return linked.map((input) => ({ slot: input.name.split(".")[1], origin: originOf(node, input) }));
}
