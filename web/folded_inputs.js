// Classic nodes show every widget; here the advanced ones fold behind one line. Nodes 2.0 does that by itself.

import { app } from "../../scripts/app.js";
import { words } from "./words.js";

const ALWAYS = "Comfy.Node.AlwaysShowAdvancedWidgets";

export function foldAdvanced(node) {
  const specs = { ...node.constructor.nodeData?.input?.required, ...node.constructor.nodeData?.input?.optional };
  const advanced = (node.widgets ?? []).filter((widget) => specs[widget.name]?.[1]?.advanced);
  if (!advanced.length || !node.addWidget) return;

  const line = node.addWidget("button", "more_settings", "", () => {
    node.showAdvanced = !node.showAdvanced;
    fold(true);
    node.graph?.change?.();
  });
  line.serialize = false; // it is no value: neither in the workflow nor in what is sent
  line.options = { ...line.options, serialize: false, canvasOnly: true };

  const inVue = () => window.LiteGraph?.vueNodesMode === true;
  const always = () => app.ui?.settings?.getSettingValue?.(ALWAYS) === true;
  const isLinked = (widget) => node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null);

  function fold(resize) {
    const open = Boolean(node.showAdvanced) || always() || inVue();
    for (const widget of advanced) widget.hidden = !open && !isLinked(widget);
    line.hidden = always() || inVue();
    const changed = advanced.filter((widget) => widget.hidden && widget.value !== specs[widget.name][1].default).length;
    line.label = open ? words().fewer : words().more + (changed ? words().changed(changed) : "");
    if (resize && !inVue()) node.setSize?.([node.size[0], node.computeSize()[1]]);
    node.setDirtyCanvas?.(true, true);
  }

  for (const [event, resize] of [["onConfigure", true], ["onConnectionsChange", false]]) {
    const before = node[event];
    node[event] = function (...given) {
      const result = before?.apply(this, given);
      fold(resize);
      return result;
    };
  }
  const before = node.onDrawForeground; // the renderer may be switched while the page is open
  let drawnInVue = inVue();
  node.onDrawForeground = function (...given) {
    if (drawnInVue !== inVue()) {
      drawnInVue = inVue();
      fold(true);
    }
    return before?.apply(this, given);
  };
  fold(true);
}
