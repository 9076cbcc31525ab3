// The pack's part of ComfyUI's page. Without it every node works as text; each file beside this one is one concern.

import { app } from "../../scripts/app.js";
import { showErrors } from "./error_toast.js";
import { foldAdvanced } from "./folded_inputs.js";
import { addTimeline } from "./timeline.js";
import { allowTypedLength } from "./typed_length.js";
import { startInWidestGap } from "./widest_gap.js";

app.registerExtension({
  name: "ComfyUI-Inbetween",
  setup() {
    showErrors();
  },
  nodeCreated(node) {
    if (!String(node.comfyClass).startsWith("Inbetween")) return;
    if (node.comfyClass === "InbetweenStoryboard") addTimeline(node);
    if (node.comfyClass === "InbetweenAddKeyframe") startInWidestGap(node);
    allowTypedLength(node);
    foldAdvanced(node);
  },
});
