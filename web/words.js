// What the script says on the page, in the page's language.

import { app } from "../../scripts/app.js";

const WORDS = {
  en: {
    timeline: "timeline",
    goToNode: "Go to node",
    more: "more settings",
    fewer: "fewer settings",
    changed: (count) => ` (${count} changed)`,
    even: "even",
    spread: "Spread the pictures evenly",
    picture: (number, frame) => `Picture ${number} on frame ${frame}`,
    howto: "Drag a picture, or move it with the arrow keys",
    noPicture: "Connect pictures, and they appear here",
    noPlace: (place) => `“${place}” is no place`,
    outside: (place) => `${place} is outside the video`,
    number: (places, pictures) => `${places} places for ${pictures} pictures`,
    same: (one, other) => `pictures ${one} and ${other} are on one frame`,
    off: (slot) => `${slot} is switched off`,
    linked: (name) => `${name} comes from another node`,
  },
  zh: {
    timeline: "时间线",
    goToNode: "前往节点",
    more: "更多设置",
    fewer: "收起设置",
    changed: (count) => `（已改 ${count} 项）`,
    even: "均匀",
    spread: "均匀分布图像",
    picture: (number, frame) => `图像 ${number}，第 ${frame} 帧`,
    howto: "拖动图像，或用方向键移动",
    noPicture: "连接图像后会显示在这里",
    noPlace: (place) => `“${place}”不是位置`,
    outside: (place) => `${place} 超出视频范围`,
    number: (places, pictures) => `${pictures} 张图像有 ${places} 个位置`,
    same: (one, other) => `图像 ${one} 和 ${other} 在同一帧`,
    off: (slot) => `${slot} 已关闭`,
    linked: (name) => `${name} 来自其他节点`,
  },
  ja: {
    timeline: "タイムライン",
    goToNode: "ノードへ移動",
    more: "詳細設定",
    fewer: "詳細設定を閉じる",
    changed: (count) => `（${count} 項目を変更）`,
    even: "均等",
    spread: "画像を均等に置く",
    picture: (number, frame) => `画像 ${number}、フレーム ${frame}`,
    howto: "画像をドラッグするか、矢印キーで動かします",
    noPicture: "画像をつなぐとここに表示されます",
    noPlace: (place) => `「${place}」は位置ではありません`,
    outside: (place) => `${place} は動画の外です`,
    number: (places, pictures) => `画像 ${pictures} 枚に位置が ${places} 個`,
    same: (one, other) => `画像 ${one} と ${other} が同じフレームです`,
    off: (slot) => `${slot} はオフです`,
    linked: (name) => `${name} は別のノードから来ます`,
  },
};

export function words() {
  const locale = String(app.ui?.settings?.getSettingValue?.("Comfy.Locale") ?? "en");
  return WORDS[locale.split("-")[0]] ?? WORDS.en;
}
