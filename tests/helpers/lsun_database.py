"""A database in LSUN's layout that LMDB 0.9.24 wrote: two levels of pages, and one value in pages of its own."""

import base64
import lzma
from pathlib import Path

IMAGES = 120
"""Number of its images, of 4x4 pixels; image k has the gray value k. Image 60 has 80x80 pixels."""

_CONTENT = (
    "{Wp48S^xk9=GL@E0stWa8~^|S5YJf5;J^O`aa{laYk+kMQz5um;a-"
    "ebBH)iUVJbS*!73yHXJ3NwtbRbab|<sq+l=YA)FRmL@#Z_S{x)j7(&lf)3yRZ&7xV1zH`}6{D2Ru5C!?e1dq;G|0yL-"
    "?e_l_ynHhs~qQ2oC($13m|G}$lw8&0Ss)F)@g)QtD9x9CgdiD*G0!8(GF%xForuotT!dvk?Jp3~T$FKLF6v$0tOOR@6v^kium?)#_3D5(;c|2MXn"
    "$OWKxGNz;WcbA7uC}j(_N2v%o7hL?ZMR#`)1&pEOwf!v5<b1r>%^6XDfwPl4xV4RdFe0_Jt{R^#%CX&Z^N4L)wQxK{DHl~-"
    ">0j_Li}ecMwoIEr4%SXhdv>eOY2G);!aHS%6CNqUA0cA<;`Xemf_b!N_j0P7qBAwjx*YAnFf8_2P+uJ?FngLP})fHeGOlX*kI`A$Ma4N=083N_%s"
    "*T9$i}#;2AAS7jgBARE{LHR<%!o6(F|#k)<)5uOX6@Da_{;bv8ct0Z@?LK}UWL!o~&3TkAXFRxV^)JZhkSwsCsDu5B4FvOCNOa0J4(yo|Q&DnXYx"
    "(Kj<HmjgKG(_f91qpD2pm3&Vl)R_$bu|<q(17eM+Z&YE;On7C=vrbc$6!77s^yA1sB&ZI{?QY25KYF$C7^GdNiW$#g>7SX78v|MRrw<`PYj;xN0%"
    "-eK2YIU%E+PE@#?`+GFV1SF<B#v0l15^5M>{kGGdFLvE;@>erh_tplYX!qRIbQsR+^|>H@TLtX3;{=g7JC_4h)3j6CY}L%s;lBaEe+Y)#b?v1rb<"
    ";?Cwe}#jP8SaunXvVK~{%n`x6mVFac|AnfK%q|ZZ%@uvfPIHH_wM3kTwTztd?beJh;fVYQUJGdJYx8H5@Ds4jsc>HD^mV%j1Zb$<o%+(@I&DCZD8"
    "lXMuEB?9sV))#`A6DRv`A#-"
    "`Fhs6DhRtLwmn72_?2RX>71rsbn_~N%&`1r)(57B@>v*agR2%g#AabQ{mu?3QVAwx0a?bfQFcjf$1$7tGxh0+gib_3iq)Iflr9;uRU7RA4jTnwb7"
    "@BwKu*)1Q{)F}IFgoms9Qpi^O;;*{=GqiHV`1yQASZ^%_|&d?ZjaZ3O-"
    "IgVtyOC@ltf0+=jLD=XOz1$0FqXRPpd2I#bYg1)<SFPH47w{Ag#tc_{S+WQyfGO(%T2H1nUcV9~fQ7RRTP01jt{ARsRlt{9Jz98?2z871g=j!&O7"
    "?AA2i`r2IVoXQ@RCOQYUglQVAzC4TpYH8PfUscxH0;?N$solH9Xw%kI!6(r$fJ@h{7<$owL5l3$a{ALYRTkDBKmbBC{%^g=Q8DxxZ-"
    "H|rF=l*Hi#D{k7C)cOf6;ver)Mn-MgsS3Bhg11rw?B|#ePJYx0Rf2{cHC?4`E+G@s8;fjCo+8yJue{ycO@;YUT1fgPEV<G_nRS4Zju5Vvp}2x$Bz"
    "mnPfAQnJu1WY6NY)g#J5-"
    "e1h%@~n3eKC3%k;AmwObwqp3wiN0b>{eu7?gAXcF3`2S>^^=M#T@rXj@!(O_R#07oxXpjxJw3J`N=%;??=L&BHo)J42!V3Fo^Y*DW1OT3Ah>U#>F"
    "0je>-rJoVzc7}GD~9b6tBE=YH*e-"
    "#l&cg$z+BTE@L5nk3`8|DinLJ53A!Fo3bGM`QJ6eTY_j@*+PPT;$KTw^rWfJZb7w6R=?oyw6>TZ%mfcOaszMWpGYRQId+WJ0m|8f$W#Tx0KDmd|5"
    "u!dNqh1636TP%>tE+Z0OWVAtfs;z+AS4GeXKXgm({zXyd)j^0{egI(SwMo1G&vwHrqtzffp=ELYS-u8000006B&M-"
    "&xef(00E5)fPe!4vK;C$vBYQl0ssI200dcD"
)


def write_lsun(folder: Path) -> Path:
    """Write `data.mdb` into a new folder, and return its path."""
    folder.mkdir(parents=True)
    (folder / "data.mdb").write_bytes(lzma.decompress(base64.b85decode(_CONTENT)))
    return folder / "data.mdb"
